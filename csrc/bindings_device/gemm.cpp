// Bindings of GEMM, and of the override of its tile table.
#include "bindings/shape_casters.h"
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

constexpr const char* kOp = "gemm";

void gemm(const DeviceView& a, const DeviceView& b, const OptionalView& bias,
          const OptionalView& residual, const DeviceView& c, const GemmShape& shape,
          const std::string& activation, float negative_slope, float alpha, float beta,
          uintptr_t stream) {
  const Dims a_dims =
      shape.transpose_a ? Dims{shape.gemm_k, shape.gemm_m} : Dims{shape.gemm_m, shape.gemm_k};
  const Dims b_dims =
      shape.transpose_b ? Dims{shape.gemm_n, shape.gemm_k} : Dims{shape.gemm_k, shape.gemm_n};
  const Dims c_dims{shape.gemm_m, shape.gemm_n};
  const Activation kind = parse_activation(activation, kOp);
  with_storage(a, kOp, "a", [&](auto storage) {
    using T = decltype(storage);
    const T* left = input<T>(a, kOp, "a", a_dims);
    const T* right = input<T>(b, kOp, "b", b_dims);
    const cuda::DeviceEpilogue<T> epilogue{optional_input<T>(bias, kOp, "bias", {shape.gemm_n}),
                                           optional_input<T>(residual, kOp, "residual", c_dims),
                                           kind, negative_slope};
    T* to = output<T>(c, kOp, "c", c_dims);
    py::gil_scoped_release released;
    cuda::gemm(shape, alpha, left, right, beta, epilogue, to, to_stream(kOp, stream));
  });
}

}  // namespace

void bind_gemm(py::module_& m) {
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("bias").none(true),
        py::arg("residual").none(true), py::arg("c"), py::arg("shape"), py::arg("activation"),
        py::arg("negative_slope"), py::arg("alpha"), py::arg("beta"), py::kw_only(),
        py::arg("stream") = 0, "c = activation(alpha op(a) op(b) + beta c + bias + residual)");
  m.def(
      "force_tile",
      [](int row, int64_t splits) {
        CONVSMITH_CHECK(row >= -1 && splits >= 0, "force_tile: got row "
                                                      << row << ", splits " << splits
                                                      << ", wanted a row or -1, and splits or 0");
        cuda::force_tile(row, splits);
      },
      py::arg("row") = -1, py::arg("splits") = 0,
      "For tests and tuning: the row of the tile table and the splits of the depth that every GEMM "
      "and convolution takes from now on; -1 and 0 leave the choice to the shape.");
}

}  // namespace convsmith::bindings
