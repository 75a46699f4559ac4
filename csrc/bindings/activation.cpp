#include "bindings/array.h"
#include "bindings/module.h"
#include "bindings/shape_casters.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

void activation_forward(const py::array& x, py::array y, const std::string& kind,
                        float negative_slope) {
  const char* op = "activation_forward";
  const Activation parsed = parse_activation(kind, op);
  const float* from = input(x, op, "x", dims_of(x));
  float* to = output(y, op, "y", dims_of(x));
  const int64_t size = x.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(activation_forward, parsed, negative_slope, size, from, to);
}

void activation_backward(const py::array& dy, const py::array& saved, py::array dx,
                         const std::string& kind, float negative_slope) {
  const char* op = "activation_backward";
  const Activation parsed = parse_activation(kind, op);
  const float* gradient = input(dy, op, "dy", dims_of(dy));
  const float* value = input(saved, op, "saved", dims_of(dy));
  float* to = output(dx, op, "dx", dims_of(dy));
  const int64_t size = dy.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(activation_backward, parsed, negative_slope, size, gradient, value, to);
}

void add(const py::array& a, const py::array& b, py::array y) {
  const float* left = input(a, "add", "a", dims_of(a));
  const float* right = input(b, "add", "b", dims_of(a));
  float* to = output(y, "add", "y", dims_of(a));
  const int64_t size = a.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(add, size, left, right, to);
}

}  // namespace

void bind_activation(py::module_& m) {
  m.def("activation_forward", &activation_forward, py::arg("x"), py::arg("y"), py::kw_only(),
        py::arg("kind"), py::arg("negative_slope"), "y = kind(x), elementwise.");
  m.def("activation_backward", &activation_backward, py::arg("dy"), py::arg("saved"), py::arg("dx"),
        py::kw_only(), py::arg("kind"), py::arg("negative_slope"),
        "dx = dy * kind'(x); saved is y, but x for silu and hardswish.");
  m.def("add", &add, py::arg("a"), py::arg("b"), py::arg("y"), "y = a + b, equal shapes.");
}

}  // namespace convsmith::bindings
