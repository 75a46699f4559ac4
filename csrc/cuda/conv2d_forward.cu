// y[n, oh, ow, oc] = activation(sum_{kh, kw, ic} x[n, oh*s - p + kh*d, ow*s - p + kw*d, ic]
//                                                * weight[oc, kh, kw, ic] + bias + residual)
//
// Implicit GEMM: rows are the output pixels of the whole batch, so that 7x7 maps waste none;
// columns are output channels; depth is (kh, kw, ic), which lies contiguous in x tap by tap and
// contiguous in weight throughout. Each group is a GEMM of its own in the same launch.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr const char* kOp = "conv2d_forward";

template <class T, class Tile, int V>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_forward_direct_kernel(GemmProblem<T> problem, WindowByPixel<T> x,
                                 MatrixSource<T, true> weight) {
  direct_gemm_block<Tile, V>(problem, x, weight);
}

struct ForwardKernels {
  template <class T, class Tile, int V>
  static auto direct() {
    return &conv2d_forward_direct_kernel<T, Tile, V>;
  }
};

}  // namespace

bool conv2d_fits_tensor_cores(const Conv2dShape& s, int64_t element_bytes) {
  const int64_t chunk = 16 / element_bytes;
  return group_in_c(s) >= 8 && group_in_c(s) % chunk == 0 && group_out_c(s) % chunk == 0;
}

template <class T>
void conv2d_forward(const Conv2dShape& s, const T* x, const T* weight,
                    const DeviceEpilogue<T>& epilogue, T* y, Algorithm algorithm, Stream stream) {
  if (s.batch == 0) return;
  if (is_depthwise(s)) return depthwise_forward(s, x, weight, epilogue, y, stream);
  if (is_first_layer(s)) return first_layer_forward(s, x, weight, epilogue, y, stream);
  const int64_t channels = group_in_c(s), out_channels = group_out_c(s);
  const int64_t gemm_k = s.kernel_h * s.kernel_w * channels;
  GemmProblem<T> problem =
      plain_problem(output_pixels(s), out_channels, gemm_k, s.groups, y, s.out_c, out_channels);
  problem.output.epilogue = epilogue;
  if (is_plain_product(s)) {
    return multiply_matrices<T>(kOp, problem, {x, s.in_c, channels, true},
                                {weight, channels, out_channels * channels, true}, algorithm,
                                stream);
  }
  const WindowByPixel<T> pixels{x, channels, input_window(s), {}};
  const MatrixSource<T, true> filters{weight, out_channels * gemm_k, out_channels, gemm_k, gemm_k,
                                      0};
  if (takes_tensor_cores(s, algorithm, x, weight)) {
    forward_on_tensor_cores(problem, pixels, filters, stream);
  } else {
    const bool vectors = channels % 4 == 0 && aligned<4>(x) && aligned<4>(weight);
    launch_direct<ForwardKernels>(kOp, problem, pixels, filters, vectors, stream);
  }
}

template void conv2d_forward(const Conv2dShape&, const float*, const float*,
                             const DeviceEpilogue<float>&, float*, Algorithm, Stream);
template void conv2d_forward(const Conv2dShape&, const float16*, const float16*,
                             const DeviceEpilogue<float16>&, float16*, Algorithm, Stream);
template void conv2d_forward(const Conv2dShape&, const bfloat16*, const bfloat16*,
                             const DeviceEpilogue<bfloat16>&, bfloat16*, Algorithm, Stream);

}  // namespace convsmith::cuda
