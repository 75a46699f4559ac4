// Bindings of convolution.
#include "bindings/shape_casters.h"
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

Dims x_dims(const Conv2dShape& s) { return {s.batch, s.in_h, s.in_w, s.in_c}; }
Dims y_dims(const Conv2dShape& s) { return {s.batch, s.out_h, s.out_w, s.out_c}; }
Dims weight_dims(const Conv2dShape& s) {
  return {s.out_c, s.kernel_h, s.kernel_w, s.in_c / s.groups};
}

cuda::Algorithm parse_algorithm(const std::string& name, const char* op) {
  if (name == "auto") return cuda::Algorithm::automatic;
  if (name == "direct") return cuda::Algorithm::direct;
  if (name == "tensor_core") return cuda::Algorithm::tensor_core;
  if (name == "tf32") return cuda::Algorithm::tf32;
  CONVSMITH_CHECK(
      false, op << ": algorithm: got '" << name << "', wanted auto, direct, tensor_core or tf32");
  return cuda::Algorithm::automatic;
}

// Kernels keep coordinates in 32 bits.
void check_extents(const Conv2dShape& s, const char* op) {
  constexpr int64_t kLimit = (int64_t{1} << 31) - 1;
  const int64_t height = s.in_h + s.pad_top + s.pad_bottom;
  const int64_t width = s.in_w + s.pad_left + s.pad_right;
  CONVSMITH_CHECK(height <= kLimit && width <= kLimit, op << ": shape: got a padded input of "
                                                          << height << " x " << width
                                                          << ", wanted at most 2^31 - 1 each way");
}

void conv2d_forward(const DeviceView& x, const DeviceView& weight, const OptionalView& bias,
                    const OptionalView& residual, const DeviceView& y, const Conv2dShape& shape,
                    const std::string& activation, float negative_slope,
                    const std::string& algorithm, uintptr_t stream) {
  constexpr const char* op = "conv2d_forward";
  check_extents(shape, op);
  const cuda::Algorithm chosen = parse_algorithm(algorithm, op);
  const Activation kind = parse_activation(activation, op);
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* x_data = input<T>(x, op, "x", x_dims(shape));
    const T* weight_data = input<T>(weight, op, "weight", weight_dims(shape));
    const cuda::DeviceEpilogue<T> epilogue{
        optional_input<T>(bias, op, "bias", {shape.out_c}),
        optional_input<T>(residual, op, "residual", y_dims(shape)), kind, negative_slope};
    T* y_data = output<T>(y, op, "y", y_dims(shape));
    py::gil_scoped_release released;
    cuda::conv2d_forward(shape, x_data, weight_data, epilogue, y_data, chosen,
                         to_stream(op, stream));
  });
}

void conv2d_backward_input(const DeviceView& dy, const DeviceView& weight, const DeviceView& dx,
                           const Conv2dShape& shape, const std::string& algorithm,
                           uintptr_t stream) {
  constexpr const char* op = "conv2d_backward_input";
  check_extents(shape, op);
  const cuda::Algorithm chosen = parse_algorithm(algorithm, op);
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* dy_data = input<T>(dy, op, "dy", y_dims(shape));
    const T* weight_data = input<T>(weight, op, "weight", weight_dims(shape));
    T* dx_data = output<T>(dx, op, "dx", x_dims(shape));
    py::gil_scoped_release released;
    cuda::conv2d_backward_input(shape, dy_data, weight_data, dx_data, chosen,
                                to_stream(op, stream));
  });
}

void conv2d_backward_weight(const DeviceView& x, const DeviceView& dy, const DeviceView& dweight,
                            const Conv2dShape& shape, const std::string& algorithm,
                            uintptr_t stream) {
  constexpr const char* op = "conv2d_backward_weight";
  check_extents(shape, op);
  const cuda::Algorithm chosen = parse_algorithm(algorithm, op);
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* x_data = input<T>(x, op, "x", x_dims(shape));
    const T* dy_data = input<T>(dy, op, "dy", y_dims(shape));
    T* dweight_data = output<T>(dweight, op, "dweight", weight_dims(shape));
    py::gil_scoped_release released;
    cuda::conv2d_backward_weight(shape, x_data, dy_data, dweight_data, chosen,
                                 to_stream(op, stream));
  });
}

void conv2d_backward_bias(const DeviceView& dy, const DeviceView& dbias, uintptr_t stream) {
  constexpr const char* op = "conv2d_backward_bias";
  dy.require(op, "dy");
  const Dims& dims = dy.dims();
  CONVSMITH_CHECK(!dims.empty(), op << ": dy: got a scalar, wanted [..., channels]");
  const int64_t channels = dims.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) rows *= dims[i];
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* dy_data = input<T>(dy, op, "dy", dims);
    T* dbias_data = output<T>(dbias, op, "dbias", {channels});
    py::gil_scoped_release released;
    cuda::conv2d_backward_bias(rows, channels, dy_data, dbias_data, to_stream(op, stream));
  });
}

std::vector<std::string> algorithms(const std::string& op, const py::object& shape,
                                    const std::string& dtype) {
  if (op == "gemm" || op == "conv2d_backward_bias") return {"direct"};
  const bool narrow = dtype == "float16" || dtype == "bfloat16";
  // Without a shape: everything that some shape may take.
  const bool fits =
      shape.is_none() || cuda::conv2d_fits_tensor_cores(shape.cast<Conv2dShape>(), narrow ? 2 : 4);
  if (!fits) return {"direct"};
  if (narrow) return {"tensor_core", "direct"};
  return {"direct", "tf32"};
}

}  // namespace

void bind_conv2d(py::module_& m) {
  m.def("conv2d_forward", &conv2d_forward, py::arg("x"), py::arg("weight"),
        py::arg("bias").none(true), py::arg("residual").none(true), py::arg("y"), py::arg("shape"),
        py::arg("activation"), py::arg("negative_slope"), py::arg("algorithm"), py::kw_only(),
        py::arg("stream") = 0, "y = activation(x * weight + bias + residual)");
  m.def("conv2d_backward_input", &conv2d_backward_input, py::arg("dy"), py::arg("weight"),
        py::arg("dx"), py::arg("shape"), py::arg("algorithm"), py::kw_only(), py::arg("stream") = 0,
        "Gradient of the input.");
  m.def("conv2d_backward_weight", &conv2d_backward_weight, py::arg("x"), py::arg("dy"),
        py::arg("dweight"), py::arg("shape"), py::arg("algorithm"), py::kw_only(),
        py::arg("stream") = 0, "Gradient of the weight.");
  m.def("conv2d_backward_bias", &conv2d_backward_bias, py::arg("dy"), py::arg("dbias"),
        py::kw_only(), py::arg("stream") = 0,
        "Gradient of the bias: the sum over all but the last axis.");
  m.def("algorithms", &algorithms, py::arg("op"), py::arg("shape").none(true),
        py::arg("dtype") = "float32",
        "Names that algorithm= takes for this op; the first is auto's.");
}

}  // namespace convsmith::bindings
