// One function a file of this folder: each adds its op family to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace convsmith::bindings {

void bind_runtime(pybind11::module_& m);      // schedules (simt), device properties
void bind_elementwise(pybind11::module_& m);  // add
void bind_gemm(pybind11::module_& m);         // and force_tile
void bind_conv2d(pybind11::module_& m);
void bind_pool2d(pybind11::module_& m);
void bind_norm(pybind11::module_& m);  // batch_norm, local_response_norm
void bind_activation(pybind11::module_& m);
void bind_softmax(pybind11::module_& m);
void bind_upsample2d(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);

}  // namespace convsmith::bindings
