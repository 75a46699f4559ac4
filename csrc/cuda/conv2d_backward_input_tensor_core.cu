// conv2d_backward_input on tensor cores: one stride phase of conv2d_backward_input.cu, pixels of
// the phase x input channels, depth (tap of the phase, oc). dy lies contiguous in depth, weight
// along the input channels: its fragments are transposed by the matrix loads.
#include "cuda/conv2d.cuh"
#include "cuda/tensor_gemm.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_backward_input_tensor_core_kernel(GemmProblem<T> problem, WindowByPixel<T> dy,
                                             WeightByChannel<T> weight) {
  tensor_gemm_block<Tile>(problem, dy, weight);
}

struct BackwardInputKernels {
  template <class T, class Tile>
  static auto tensor() {
    return &conv2d_backward_input_tensor_core_kernel<T, Tile>;
  }
};

}  // namespace

template <class T>
void backward_input_on_tensor_cores(const GemmProblem<T>& problem, const WindowByPixel<T>& dy,
                                    const WeightByChannel<T>& weight, Stream stream) {
  launch_tensor<BackwardInputKernels>("conv2d_backward_input", problem, dy, weight, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                               \
  template void backward_input_on_tensor_cores(const GemmProblem<T>&, const WindowByPixel<T>&, \
                                               const WeightByChannel<T>&, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
