// dweight[oc, (kh, kw, ic)] = sum_p dy[p, oc] * window(p)[(kh, kw, ic)],  p = (n, oh, ow)
//
// A GEMM whose depth runs over all output pixels while the result is small: too few tiles to fill a
// GPU, so the depth is split over blocks (tile_table.h, by shape alone) and the splits are added in
// order by a second kernel. Both operands lie contiguous across the tile: dy along output channels,
// x along the input channels of one tap.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr const char* kOp = "conv2d_backward_weight";

template <class T, class Tile, int V>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_backward_weight_direct_kernel(GemmProblem<T> problem, MatrixSource<T, false> dy,
                                         WindowByTap<T> x) {
  direct_gemm_block<Tile, V>(problem, dy, x);
}

struct BackwardWeightKernels {
  template <class T, class Tile, int V>
  static auto direct() {
    return &conv2d_backward_weight_direct_kernel<T, Tile, V>;
  }
};

}  // namespace

template <class T>
void conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dweight,
                            Algorithm algorithm, Stream stream) {
  if (is_depthwise(s)) return depthwise_backward_weight(s, x, dy, dweight, stream);
  const int64_t channels = group_in_c(s), out_channels = group_out_c(s);
  const int64_t gemm_n = s.kernel_h * s.kernel_w * channels, pixels = output_pixels(s);
  const GemmProblem<T> problem =
      plain_problem(out_channels, gemm_n, pixels, s.groups, dweight, gemm_n, out_channels * gemm_n);
  if (is_plain_product(s)) {
    return multiply_matrices<T>(kOp, problem, {dy, s.out_c, out_channels, false},
                                {x, s.in_c, channels, false}, algorithm, stream);
  }
  const MatrixSource<T, false> gradients{dy, out_channels, out_channels, pixels, s.out_c, 0};
  const WindowByTap<T> taps{x, channels, input_window(s), {}};
  if (takes_tensor_cores(s, algorithm, x, dy)) {
    backward_weight_on_tensor_cores(problem, gradients, taps, stream);
  } else {
    const bool vectors =
        channels % 4 == 0 && out_channels % 4 == 0 && aligned<4>(x) && aligned<4>(dy);
    launch_direct<BackwardWeightKernels>(kOp, problem, gradients, taps, vectors, stream);
  }
}

template void conv2d_backward_weight(const Conv2dShape&, const float*, const float*, float*,
                                     Algorithm, Stream);
template void conv2d_backward_weight(const Conv2dShape&, const float16*, const float16*, float16*,
                                     Algorithm, Stream);
template void conv2d_backward_weight(const Conv2dShape&, const bfloat16*, const bfloat16*,
                                     bfloat16*, Algorithm, Stream);

}  // namespace convsmith::cuda
