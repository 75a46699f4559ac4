#include "bindings/shape_casters.h"
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

Dims x_dims(const Resample2dShape& s) { return {s.batch, s.in_h, s.in_w, s.channels}; }
Dims y_dims(const Resample2dShape& s) { return {s.batch, s.out_h, s.out_w, s.channels}; }

void upsample_nearest2d_forward(const DeviceView& x, const DeviceView& y,
                                const Resample2dShape& shape, uintptr_t stream) {
  const char* op = "upsample_nearest2d_forward";
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x_dims(shape));
    T* to = output<T>(y, op, "y", y_dims(shape));
    py::gil_scoped_release released;
    cuda::upsample_nearest2d_forward(shape, from, to, to_stream(op, stream));
  });
}

void upsample_nearest2d_backward_input(const DeviceView& dy, const DeviceView& dx,
                                       const Resample2dShape& shape, uintptr_t stream) {
  const char* op = "upsample_nearest2d_backward_input";
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", y_dims(shape));
    T* to = output<T>(dx, op, "dx", x_dims(shape));
    py::gil_scoped_release released;
    cuda::upsample_nearest2d_backward_input(shape, gradient, to, to_stream(op, stream));
  });
}

void upsample_bilinear2d_forward(const DeviceView& x, const DeviceView& y,
                                 const Resample2dShape& shape, bool align_corners,
                                 uintptr_t stream) {
  const char* op = "upsample_bilinear2d_forward";
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x_dims(shape));
    T* to = output<T>(y, op, "y", y_dims(shape));
    py::gil_scoped_release released;
    cuda::upsample_bilinear2d_forward(shape, align_corners, from, to, to_stream(op, stream));
  });
}

void upsample_bilinear2d_backward_input(const DeviceView& dy, const DeviceView& dx,
                                        const Resample2dShape& shape, bool align_corners,
                                        uintptr_t stream) {
  const char* op = "upsample_bilinear2d_backward_input";
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", y_dims(shape));
    T* to = output<T>(dx, op, "dx", x_dims(shape));
    py::gil_scoped_release released;
    cuda::upsample_bilinear2d_backward_input(shape, align_corners, gradient, to,
                                             to_stream(op, stream));
  });
}

}  // namespace

void bind_upsample2d(py::module_& m) {
  m.def("upsample_nearest2d_forward", &upsample_nearest2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "y = the pixel at floor(position * in / out).");
  m.def("upsample_nearest2d_backward_input", &upsample_nearest2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), py::kw_only(), py::arg("stream") = 0,
        "dx = the sum of dy over the copies of each pixel.");
  m.def("upsample_bilinear2d_forward", &upsample_bilinear2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), py::kw_only(), py::arg("align_corners"), py::arg("stream") = 0,
        "y = the four neighbours of the source position, weighted.");
  m.def("upsample_bilinear2d_backward_input", &upsample_bilinear2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), py::kw_only(), py::arg("align_corners"),
        py::arg("stream") = 0, "dx = dy weighted as in the forward.");
}

}  // namespace convsmith::bindings
