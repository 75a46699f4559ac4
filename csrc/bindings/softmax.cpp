#include "bindings/array.h"
#include "bindings/module.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

struct Rows {
  int64_t rows, classes;
};

// Everything but the last axis is rows.
Rows rows_of(const py::array& x, const char* op, const char* argument) {
  CONVSMITH_CHECK(x.ndim() >= 1, op << ": " << argument
                                    << ": got a 0-dimensional array, wanted at least one axis");
  Rows result{1, x.shape(x.ndim() - 1)};
  for (py::ssize_t axis = 0; axis + 1 < x.ndim(); ++axis) result.rows *= x.shape(axis);
  return result;
}

void softmax_forward(const py::array& x, py::array y) {
  const char* op = "softmax_forward";
  const Rows size = rows_of(x, op, "x");
  const float* from = input(x, op, "x", dims_of(x));
  float* to = output(y, op, "y", dims_of(x));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(softmax_forward, size.rows, size.classes, from, to);
}

void softmax_backward(const py::array& dy, const py::array& y, py::array dx) {
  const char* op = "softmax_backward";
  const Rows size = rows_of(dy, op, "dy");
  const float* gradient = input(dy, op, "dy", dims_of(dy));
  const float* result = input(y, op, "y", dims_of(dy));
  float* to = output(dx, op, "dx", dims_of(dy));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(softmax_backward, size.rows, size.classes, gradient, result, to);
}

void log_softmax_forward(const py::array& x, py::array y) {
  const char* op = "log_softmax_forward";
  const Rows size = rows_of(x, op, "x");
  const float* from = input(x, op, "x", dims_of(x));
  float* to = output(y, op, "y", dims_of(x));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(log_softmax_forward, size.rows, size.classes, from, to);
}

void log_softmax_backward(const py::array& dy, const py::array& y, py::array dx) {
  const char* op = "log_softmax_backward";
  const Rows size = rows_of(dy, op, "dy");
  const float* gradient = input(dy, op, "dy", dims_of(dy));
  const float* result = input(y, op, "y", dims_of(dy));
  float* to = output(dx, op, "dx", dims_of(dy));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(log_softmax_backward, size.rows, size.classes, gradient, result, to);
}

void softmax_cross_entropy(const py::array& logits, const py::array& labels, py::array losses,
                           py::array dlogits, float label_smoothing, float scale) {
  const char* op = "softmax_cross_entropy";
  CONVSMITH_CHECK(logits.ndim() == 2, op << ": logits: got " << logits.ndim()
                                         << " dimensions, wanted 2: [rows, classes]");
  const int64_t rows = logits.shape(0);
  const int64_t classes = logits.shape(1);
  const float* from = input(logits, op, "logits", dims_of(logits));
  const int64_t* given = input<int64_t>(labels, op, "labels", {rows});
  float* loss = output(losses, op, "losses", {rows});
  float* gradient = output(dlogits, op, "dlogits", dims_of(logits));
  // Checked as copies: the kernel uses them as indices, and the array may change meanwhile.
  const std::vector<int64_t> label(given, given + rows);
  for (int64_t row = 0; row < rows; ++row) {
    CONVSMITH_CHECK(label[row] >= 0 && label[row] < classes,
                    op << ": labels: got " << label[row] << " in row " << row
                       << ", wanted 0 to classes - 1 = " << classes - 1);
  }
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(softmax_cross_entropy, rows, classes, label_smoothing, scale, from,
                     label.data(), loss, gradient);
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def("softmax_forward", &softmax_forward, py::arg("x"), py::arg("y"),
        "y = exp(x) / sum(exp(x)) over the last axis.");
  m.def("softmax_backward", &softmax_backward, py::arg("dy"), py::arg("y"), py::arg("dx"),
        "dx = y * (dy - sum(dy * y)) over the last axis.");
  m.def("log_softmax_forward", &log_softmax_forward, py::arg("x"), py::arg("y"),
        "y = x - log(sum(exp(x))) over the last axis.");
  m.def("log_softmax_backward", &log_softmax_backward, py::arg("dy"), py::arg("y"), py::arg("dx"),
        "dx = dy - exp(y) * sum(dy) over the last axis.");
  m.def("softmax_cross_entropy", &softmax_cross_entropy, py::arg("logits"), py::arg("labels"),
        py::arg("losses"), py::arg("dlogits"), py::kw_only(), py::arg("label_smoothing"),
        py::arg("scale"), "losses [rows] and dlogits = scale * d(sum of losses) / d(logits).");
}

}  // namespace convsmith::bindings
