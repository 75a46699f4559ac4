// Bindings of convolution.
#include "bindings/array.h"
#include "bindings/module.h"
#include "bindings/shape_casters.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

Dims x_dims(const Conv2dShape& s) { return {s.batch, s.in_h, s.in_w, s.in_c}; }
Dims y_dims(const Conv2dShape& s) { return {s.batch, s.out_h, s.out_w, s.out_c}; }
Dims weight_dims(const Conv2dShape& s) {
  return {s.out_c, s.kernel_h, s.kernel_w, s.in_c / s.groups};
}

void check_algorithm(const std::string& algorithm, const char* op) {
  CONVSMITH_CHECK(algorithm == "auto" || algorithm == "direct",
                  op << ": algorithm: got '" << algorithm << "', wanted auto or direct");
}

void conv2d_forward(const py::array& x, const py::array& weight, const OptionalArray& bias,
                    const OptionalArray& residual, py::array& y, const Conv2dShape& shape,
                    const std::string& activation, float negative_slope,
                    const std::string& algorithm) {
  constexpr const char* op = "conv2d_forward";
  check_algorithm(algorithm, op);
  const float* x_data = input(x, op, "x", x_dims(shape));
  const float* weight_data = input(weight, op, "weight", weight_dims(shape));
  const Epilogue epilogue{optional_input(bias, op, "bias", {shape.out_c}),
                          optional_input(residual, op, "residual", y_dims(shape)),
                          parse_activation(activation, op), negative_slope};
  float* y_data = output(y, op, "y", y_dims(shape));
  check_disjoint(y, op, "y", x, weight, bias, residual);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(conv2d_forward, shape, x_data, weight_data, epilogue, y_data);
}

void conv2d_backward_input(const py::array& dy, const py::array& weight, py::array& dx,
                           const Conv2dShape& shape, const std::string& algorithm) {
  constexpr const char* op = "conv2d_backward_input";
  check_algorithm(algorithm, op);
  const float* dy_data = input(dy, op, "dy", y_dims(shape));
  const float* weight_data = input(weight, op, "weight", weight_dims(shape));
  float* dx_data = output(dx, op, "dx", x_dims(shape));
  check_disjoint(dx, op, "dx", dy, weight);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(conv2d_backward_input, shape, dy_data, weight_data, dx_data);
}

void conv2d_backward_weight(const py::array& x, const py::array& dy, py::array& dweight,
                            const Conv2dShape& shape, const std::string& algorithm) {
  constexpr const char* op = "conv2d_backward_weight";
  check_algorithm(algorithm, op);
  const float* x_data = input(x, op, "x", x_dims(shape));
  const float* dy_data = input(dy, op, "dy", y_dims(shape));
  float* dweight_data = output(dweight, op, "dweight", weight_dims(shape));
  check_disjoint(dweight, op, "dweight", x, dy);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(conv2d_backward_weight, shape, x_data, dy_data, dweight_data);
}

void conv2d_backward_bias(const py::array& dy, py::array& dbias) {
  constexpr const char* op = "conv2d_backward_bias";
  CONVSMITH_CHECK(dy.ndim() >= 1, op << ": dy: got a scalar, wanted [..., channels]");
  const Dims dims = dims_of(dy);
  const int64_t channels = dims.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) rows *= dims[i];
  const float* dy_data = input(dy, op, "dy", dims);
  float* dbias_data = output(dbias, op, "dbias", {channels});
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(conv2d_backward_bias, rows, channels, dy_data, dbias_data);
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &conv2d_forward, py::arg("x"), py::arg("weight"),
        py::arg("bias").none(true), py::arg("residual").none(true), py::arg("y"), py::arg("shape"),
        py::arg("activation"), py::arg("negative_slope"), py::arg("algorithm"),
        "y = activation(x * weight + bias + residual)");
  m.def("conv2d_backward_input", &conv2d_backward_input, py::arg("dy"), py::arg("weight"),
        py::arg("dx"), py::arg("shape"), py::arg("algorithm"), "Gradient of the input.");
  m.def("conv2d_backward_weight", &conv2d_backward_weight, py::arg("x"), py::arg("dy"),
        py::arg("dweight"), py::arg("shape"), py::arg("algorithm"), "Gradient of the weight.");
  m.def(
      "algorithms",
      [](const std::string&, const py::object&) { return std::vector<std::string>{"direct"}; },
      py::arg("op"), py::arg("shape"),
      "Names that algorithm= takes for this op; the first is auto's.");
  m.def("conv2d_backward_bias", &conv2d_backward_bias, py::arg("dy"), py::arg("dbias"),
        "Gradient of the bias: the sum over all but the last axis.");
}

}  // namespace convsmith::bindings
