#include "bindings/shape_casters.h"
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

template <class Shape>
Dims x_dims(const Shape& s) {
  return {s.batch, s.in_h, s.in_w, s.channels};
}
template <class Shape>
Dims y_dims(const Shape& s) {
  return {s.batch, s.out_h, s.out_w, s.channels};
}

// Calls call(Index{}). One byte an output holds the index inside the window, with 255 left for
// "no winner".
template <class Call>
void with_argmax_type(const Pool2dShape& s, const Call& call) {
  if (s.kernel_h * s.kernel_w <= 255) return call(uint8_t{});
  call(int32_t{});
}

void max_pool2d_forward(const DeviceView& x, const DeviceView& y, const OptionalView& argmax,
                        const Pool2dShape& shape, uintptr_t stream) {
  const char* op = "max_pool2d_forward";
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x_dims(shape));
    T* to = output<T>(y, op, "y", y_dims(shape));
    with_argmax_type(shape, [&](auto index) {
      auto* const winner = optional_output<decltype(index)>(argmax, op, "argmax", y_dims(shape));
      py::gil_scoped_release released;
      cuda::max_pool2d_forward(shape, from, to, winner, to_stream(op, stream));
    });
  });
}

void max_pool2d_backward_input(const DeviceView& dy, const DeviceView& argmax, const DeviceView& dx,
                               const Pool2dShape& shape, uintptr_t stream) {
  const char* op = "max_pool2d_backward_input";
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", y_dims(shape));
    T* to = output<T>(dx, op, "dx", x_dims(shape));
    with_argmax_type(shape, [&](auto index) {
      const auto* const winner = input<decltype(index)>(argmax, op, "argmax", y_dims(shape));
      py::gil_scoped_release released;
      cuda::max_pool2d_backward_input(shape, gradient, winner, to, to_stream(op, stream));
    });
  });
}

void check_not_dilated(const Pool2dShape& shape, const char* op) {
  CONVSMITH_CHECK(shape.dilation_h == 1 && shape.dilation_w == 1,
                  op << ": dilation: got (" << shape.dilation_h << ", " << shape.dilation_w
                     << "), wanted (1, 1)");
}

void avg_pool2d_forward(const DeviceView& x, const DeviceView& y, const Pool2dShape& shape,
                        bool count_include_pad, uintptr_t stream) {
  const char* op = "avg_pool2d_forward";
  check_not_dilated(shape, op);
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x_dims(shape));
    T* to = output<T>(y, op, "y", y_dims(shape));
    py::gil_scoped_release released;
    cuda::avg_pool2d_forward(shape, count_include_pad, from, to, to_stream(op, stream));
  });
}

void avg_pool2d_backward_input(const DeviceView& dy, const DeviceView& dx, const Pool2dShape& shape,
                               bool count_include_pad, uintptr_t stream) {
  const char* op = "avg_pool2d_backward_input";
  check_not_dilated(shape, op);
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", y_dims(shape));
    T* to = output<T>(dx, op, "dx", x_dims(shape));
    py::gil_scoped_release released;
    cuda::avg_pool2d_backward_input(shape, count_include_pad, gradient, to, to_stream(op, stream));
  });
}

void adaptive_avg_pool2d_forward(const DeviceView& x, const DeviceView& y,
                                 const Resample2dShape& shape, uintptr_t stream) {
  const char* op = "adaptive_avg_pool2d_forward";
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x_dims(shape));
    T* to = output<T>(y, op, "y", y_dims(shape));
    py::gil_scoped_release released;
    cuda::adaptive_avg_pool2d_forward(shape, from, to, to_stream(op, stream));
  });
}

void adaptive_avg_pool2d_backward_input(const DeviceView& dy, const DeviceView& dx,
                                        const Resample2dShape& shape, uintptr_t stream) {
  const char* op = "adaptive_avg_pool2d_backward_input";
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", y_dims(shape));
    T* to = output<T>(dx, op, "dx", x_dims(shape));
    py::gil_scoped_release released;
    cuda::adaptive_avg_pool2d_backward_input(shape, gradient, to, to_stream(op, stream));
  });
}

}  // namespace

void bind_pool2d(py::module_& m) {
  m.def("max_pool2d_forward", &max_pool2d_forward, py::arg("x"), py::arg("y"),
        py::arg("argmax").none(true), py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "y = window maxima; argmax (or None) = kh * kernel_w + kw of the winner.");
  m.def("max_pool2d_backward_input", &max_pool2d_backward_input, py::arg("dy"), py::arg("argmax"),
        py::arg("dx"), py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "dx = dy of the windows that each element won.");
  m.def("avg_pool2d_forward", &avg_pool2d_forward, py::arg("x"), py::arg("y"), py::arg("shape"),
        py::kw_only(), py::arg("count_include_pad"), py::arg("stream") = 0, "y = window means.");
  m.def("avg_pool2d_backward_input", &avg_pool2d_backward_input, py::arg("dy"), py::arg("dx"),
        py::arg("shape"), py::kw_only(), py::arg("count_include_pad"), py::arg("stream") = 0,
        "dx = each window's dy shared among its elements.");
  m.def("adaptive_avg_pool2d_forward", &adaptive_avg_pool2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "y = means over windows [floor(i in / out), ceil((i + 1) in / out)).");
  m.def("adaptive_avg_pool2d_backward_input", &adaptive_avg_pool2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "dx = each window's dy shared among its elements.");
}

}  // namespace convsmith::bindings
