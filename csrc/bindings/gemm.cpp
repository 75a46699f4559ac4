// Bindings of GEMM.
#include "bindings/array.h"
#include "bindings/module.h"
#include "bindings/shape_casters.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

constexpr const char* kOp = "gemm";

void gemm(const py::array& a, const py::array& b, const OptionalArray& bias,
          const OptionalArray& residual, py::array& c, const GemmShape& shape,
          const std::string& activation, float negative_slope, float alpha, float beta) {
  const Dims a_dims =
      shape.transpose_a ? Dims{shape.gemm_k, shape.gemm_m} : Dims{shape.gemm_m, shape.gemm_k};
  const Dims b_dims =
      shape.transpose_b ? Dims{shape.gemm_n, shape.gemm_k} : Dims{shape.gemm_k, shape.gemm_n};
  const Dims c_dims{shape.gemm_m, shape.gemm_n};
  const float* a_data = input(a, kOp, "a", a_dims);
  const float* b_data = input(b, kOp, "b", b_dims);
  const Epilogue epilogue{optional_input(bias, kOp, "bias", {shape.gemm_n}),
                          optional_input(residual, kOp, "residual", c_dims),
                          parse_activation(activation, kOp), negative_slope};
  float* c_data = output(c, kOp, "c", c_dims);
  check_disjoint(c, kOp, "c", a, b, bias, residual);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(gemm, shape, alpha, a_data, b_data, beta, epilogue, c_data);
}

}  // namespace

void bind_gemm(py::module_& m) {
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("bias").none(true),
        py::arg("residual").none(true), py::arg("c"), py::arg("shape"), py::arg("activation"),
        py::arg("negative_slope"), py::arg("alpha"), py::arg("beta"),
        "c = activation(alpha op(a) op(b) + beta c + bias + residual)");
}

}  // namespace convsmith::bindings
