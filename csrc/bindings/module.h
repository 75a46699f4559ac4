// One function a file of this folder: each adds its op family to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace convsmith::bindings {

void bind_runtime(pybind11::module_& m);  // arena, threads, instruction set
void bind_gemm(pybind11::module_& m);
void bind_conv2d(pybind11::module_& m);
void bind_pool2d(pybind11::module_& m);
void bind_norm(pybind11::module_& m);        // batch_norm, local_response_norm
void bind_activation(pybind11::module_& m);  // activations, add
void bind_softmax(pybind11::module_& m);
void bind_upsample2d(pybind11::module_& m);
void bind_optimizer(pybind11::module_& m);
void bind_yardstick(pybind11::module_& m);  // the machine's limits, for benchmarks

}  // namespace convsmith::bindings
