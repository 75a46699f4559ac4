// conv2d_backward_weight on tensor cores: output channels x (kh, kw, ic), depth all output pixels,
// split over blocks and added in order as in conv2d_backward_weight.cu. Both operands lie
// contiguous across the tile, pixel by pixel, so the matrix loads transpose both.
#include "cuda/conv2d.cuh"
#include "cuda/tensor_gemm.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_backward_weight_tensor_core_kernel(GemmProblem<T> problem, MatrixSource<T, false> dy,
                                              WindowByTap<T> x) {
  tensor_gemm_block<Tile>(problem, dy, x);
}

struct BackwardWeightKernels {
  template <class T, class Tile>
  static auto tensor() {
    return &conv2d_backward_weight_tensor_core_kernel<T, Tile>;
  }
};

}  // namespace

template <class T>
void backward_weight_on_tensor_cores(const GemmProblem<T>& problem,
                                     const MatrixSource<T, false>& dy, const WindowByTap<T>& x,
                                     Stream stream) {
  launch_tensor<BackwardWeightKernels>("conv2d_backward_weight", problem, dy, x, stream);
}

#define CONVSMITH_INSTANTIATE(T)                 \
  template void backward_weight_on_tensor_cores( \
      const GemmProblem<T>&, const MatrixSource<T, false>&, const WindowByTap<T>&, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
