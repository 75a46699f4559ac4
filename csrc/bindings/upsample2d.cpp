#include "bindings/array.h"
#include "bindings/module.h"
#include "bindings/shape_casters.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

void upsample_nearest2d_forward(const py::array& x, py::array y, const Resample2dShape& shape) {
  const char* op = "upsample_nearest2d_forward";
  const float* from = input(x, op, "x", x_dims(shape));
  float* to = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(upsample_nearest2d_forward, shape, from, to);
}

void upsample_nearest2d_backward_input(const py::array& dy, py::array dx,
                                       const Resample2dShape& shape) {
  const char* op = "upsample_nearest2d_backward_input";
  const float* gradient = input(dy, op, "dy", y_dims(shape));
  float* to = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(upsample_nearest2d_backward_input, shape, gradient, to);
}

void upsample_bilinear2d_forward(const py::array& x, py::array y, const Resample2dShape& shape,
                                 bool align_corners) {
  const char* op = "upsample_bilinear2d_forward";
  const float* from = input(x, op, "x", x_dims(shape));
  float* to = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(upsample_bilinear2d_forward, shape, align_corners, from, to);
}

void upsample_bilinear2d_backward_input(const py::array& dy, py::array dx,
                                        const Resample2dShape& shape, bool align_corners) {
  const char* op = "upsample_bilinear2d_backward_input";
  const float* gradient = input(dy, op, "dy", y_dims(shape));
  float* to = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(upsample_bilinear2d_backward_input, shape, align_corners, gradient, to);
}

}  // namespace

void bind_upsample2d(py::module_& m) {
  m.def("upsample_nearest2d_forward", &upsample_nearest2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), "y = the pixel at floor(position * in / out).");
  m.def("upsample_nearest2d_backward_input", &upsample_nearest2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), "dx = the sum of dy over the copies of each pixel.");
  m.def("upsample_bilinear2d_forward", &upsample_bilinear2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), py::kw_only(), py::arg("align_corners"),
        "y = the four neighbours of the source position, weighted.");
  m.def("upsample_bilinear2d_backward_input", &upsample_bilinear2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), py::kw_only(), py::arg("align_corners"),
        "dx = dy weighted as in the forward.");
}

}  // namespace convsmith::bindings
