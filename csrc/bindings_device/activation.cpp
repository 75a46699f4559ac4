#include "bindings/shape_casters.h"
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

void activation_forward(const DeviceView& x, const DeviceView& y, const std::string& kind,
                        float negative_slope, uintptr_t stream) {
  const char* op = "activation_forward";
  const Activation parsed = parse_activation(kind, op);
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x.dims());
    T* to = output<T>(y, op, "y", x.dims());
    const int64_t size = x.size();
    py::gil_scoped_release released;
    cuda::activation_forward(parsed, negative_slope, size, from, to, to_stream(op, stream));
  });
}

void activation_backward(const DeviceView& dy, const DeviceView& saved, const DeviceView& dx,
                         const std::string& kind, float negative_slope, uintptr_t stream) {
  const char* op = "activation_backward";
  const Activation parsed = parse_activation(kind, op);
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", dy.dims());
    const T* value = input<T>(saved, op, "saved", dy.dims());
    T* to = output<T>(dx, op, "dx", dy.dims());
    const int64_t size = dy.size();
    py::gil_scoped_release released;
    cuda::activation_backward(parsed, negative_slope, size, gradient, value, to,
                              to_stream(op, stream));
  });
}

}  // namespace

void bind_activation(py::module_& m) {
  m.def("activation_forward", &activation_forward, py::arg("x"), py::arg("y"), py::kw_only(),
        py::arg("kind"), py::arg("negative_slope"), py::arg("stream") = 0,
        "y = kind(x), elementwise.");
  m.def("activation_backward", &activation_backward, py::arg("dy"), py::arg("saved"), py::arg("dx"),
        py::kw_only(), py::arg("kind"), py::arg("negative_slope"), py::arg("stream") = 0,
        "dx = dy * kind'(x); saved is y, but x for silu and hardswish.");
}

}  // namespace convsmith::bindings
