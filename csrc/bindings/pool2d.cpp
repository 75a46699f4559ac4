#include "bindings/array.h"
#include "bindings/module.h"
#include "bindings/shape_casters.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

// One byte an output holds the index inside the window, with 255 left for "no winner".
bool has_byte_argmax(const Pool2dShape& s) { return s.kernel_h * s.kernel_w <= 255; }

template <class Index>
void run_max_forward(const Pool2dShape& shape, const float* from, float* to,
                     std::optional<py::array>& argmax) {
  Index* index =
      argmax ? output<Index>(*argmax, "max_pool2d_forward", "argmax", y_dims(shape)) : nullptr;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(max_pool2d_forward, shape, from, to, index);
}

void max_pool2d_forward(const py::array& x, py::array y, std::optional<py::array> argmax,
                        const Pool2dShape& shape) {
  const char* op = "max_pool2d_forward";
  const float* from = input(x, op, "x", x_dims(shape));
  float* to = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x);
  if (shape.batch == 0) return;
  if (has_byte_argmax(shape)) {
    run_max_forward<uint8_t>(shape, from, to, argmax);
  } else {
    run_max_forward<int32_t>(shape, from, to, argmax);
  }
}

template <class Index>
void run_max_backward(const Pool2dShape& shape, const float* gradient, const py::array& argmax,
                      float* to) {
  const Index* index = input<Index>(argmax, "max_pool2d_backward_input", "argmax", y_dims(shape));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(max_pool2d_backward_input, shape, gradient, index, to);
}

void max_pool2d_backward_input(const py::array& dy, const py::array& argmax, py::array dx,
                               const Pool2dShape& shape) {
  const char* op = "max_pool2d_backward_input";
  const float* gradient = input(dy, op, "dy", y_dims(shape));
  float* to = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy);
  if (shape.batch == 0) return;
  if (has_byte_argmax(shape)) {
    run_max_backward<uint8_t>(shape, gradient, argmax, to);
  } else {
    run_max_backward<int32_t>(shape, gradient, argmax, to);
  }
}

void check_not_dilated(const Pool2dShape& shape, const char* op) {
  CONVSMITH_CHECK(shape.dilation_h == 1 && shape.dilation_w == 1,
                  op << ": dilation: got (" << shape.dilation_h << ", " << shape.dilation_w
                     << "), wanted (1, 1)");
}

void avg_pool2d_forward(const py::array& x, py::array y, const Pool2dShape& shape,
                        bool count_include_pad) {
  const char* op = "avg_pool2d_forward";
  check_not_dilated(shape, op);
  const float* from = input(x, op, "x", x_dims(shape));
  float* to = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(avg_pool2d_forward, shape, count_include_pad, from, to);
}

void avg_pool2d_backward_input(const py::array& dy, py::array dx, const Pool2dShape& shape,
                               bool count_include_pad) {
  const char* op = "avg_pool2d_backward_input";
  check_not_dilated(shape, op);
  const float* gradient = input(dy, op, "dy", y_dims(shape));
  float* to = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(avg_pool2d_backward_input, shape, count_include_pad, gradient, to);
}

void adaptive_avg_pool2d_forward(const py::array& x, py::array y, const Resample2dShape& shape) {
  const char* op = "adaptive_avg_pool2d_forward";
  const float* from = input(x, op, "x", x_dims(shape));
  float* to = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(adaptive_avg_pool2d_forward, shape, from, to);
}

void adaptive_avg_pool2d_backward_input(const py::array& dy, py::array dx,
                                        const Resample2dShape& shape) {
  const char* op = "adaptive_avg_pool2d_backward_input";
  const float* gradient = input(dy, op, "dy", y_dims(shape));
  float* to = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy);
  if (shape.batch == 0) return;
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(adaptive_avg_pool2d_backward_input, shape, gradient, to);
}

}  // namespace

void bind_pool2d(py::module_& m) {
  m.def("max_pool2d_forward", &max_pool2d_forward, py::arg("x"), py::arg("y"),
        py::arg("argmax").none(true), py::arg("shape"),
        "y = window maxima; argmax (or None) = kh * kernel_w + kw of the winner.");
  m.def("max_pool2d_backward_input", &max_pool2d_backward_input, py::arg("dy"), py::arg("argmax"),
        py::arg("dx"), py::arg("shape"), "dx = dy of the windows that each element won.");
  m.def("avg_pool2d_forward", &avg_pool2d_forward, py::arg("x"), py::arg("y"), py::arg("shape"),
        py::kw_only(), py::arg("count_include_pad"), "y = window means.");
  m.def("avg_pool2d_backward_input", &avg_pool2d_backward_input, py::arg("dy"), py::arg("dx"),
        py::arg("shape"), py::kw_only(), py::arg("count_include_pad"),
        "dx = each window's dy shared among its elements.");
  m.def("adaptive_avg_pool2d_forward", &adaptive_avg_pool2d_forward, py::arg("x"), py::arg("y"),
        py::arg("shape"), "y = means over windows [floor(i in / out), ceil((i + 1) in / out)).");
  m.def("adaptive_avg_pool2d_backward_input", &adaptive_avg_pool2d_backward_input, py::arg("dy"),
        py::arg("dx"), py::arg("shape"), "dx = each window's dy shared among its elements.");
}

}  // namespace convsmith::bindings
