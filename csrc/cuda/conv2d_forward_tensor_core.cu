// conv2d_forward on tensor cores: the implicit GEMM of conv2d_forward.cu, pixels x output channels,
// depth (kh, kw, ic). Both operands lie contiguous in depth, so fragments need no transposition.
// Channels of a group come in whole 16-byte chunks; other shapes take the direct kernel.
#include "cuda/conv2d.cuh"
#include "cuda/tensor_gemm.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_forward_tensor_core_kernel(GemmProblem<T> problem, WindowByPixel<T> x,
                                      MatrixSource<T, true> weight) {
  tensor_gemm_block<Tile>(problem, x, weight);
}

struct ForwardKernels {
  template <class T, class Tile>
  static auto tensor() {
    return &conv2d_forward_tensor_core_kernel<T, Tile>;
  }
};

}  // namespace

template <class T>
void forward_on_tensor_cores(const GemmProblem<T>& problem, const WindowByPixel<T>& x,
                             const MatrixSource<T, true>& weight, Stream stream) {
  launch_tensor<ForwardKernels>("conv2d_forward", problem, x, weight, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                        \
  template void forward_on_tensor_cores(const GemmProblem<T>&, const WindowByPixel<T>&, \
                                        const MatrixSource<T, true>&, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
