// c = activation(alpha op(a) op(b) + beta c + bias + residual) on tensor cores: bfloat16 and
// float16 (mma.m16n8k16), float as TF32 (mma.m16n8k8). The four transpositions are four pairs of
// sources. Main tile 128 x 128 x 32 in 64 x 64 warp tiles, four stages (tile_table.h,
// tensor_gemm.cuh).
#include <type_traits>

#include "cuda/gemm.cuh"
#include "cuda/tensor_gemm.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Tile, bool kDepthA, bool kDepthB>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    gemm_tensor_core_kernel(GemmProblem<T> problem, MatrixSource<T, kDepthA> a,
                            MatrixSource<T, kDepthB> b) {
  tensor_gemm_block<Tile>(problem, a, b);
}

template <bool kDepthA, bool kDepthB>
struct GemmKernels {
  template <class T, class Tile>
  static auto tensor() {
    return &gemm_tensor_core_kernel<T, Tile, kDepthA, kDepthB>;
  }
};

}  // namespace

template <class T>
void multiply_on_tensor_cores(const char* op, const GemmProblem<T>& problem,
                              const StoredMatrix<T>& a, const StoredMatrix<T>& b, Stream stream) {
  with_matrix_sources(problem, a, b, [&](const auto& source_a, const auto& source_b) {
    constexpr bool kDepthA = std::decay_t<decltype(source_a)>::kDepthContiguous;
    constexpr bool kDepthB = std::decay_t<decltype(source_b)>::kDepthContiguous;
    // TF32 is for convolutions to ask for, and none of their three products is of this pair.
    if constexpr (sizeof(T) == 2 || kDepthA || !kDepthB) {
      launch_tensor<GemmKernels<kDepthA, kDepthB>>(op, problem, source_a, source_b, stream);
    } else {
      throw DeviceError(std::string(op) + ": there is no TF32 kernel for a transposed a and b");
    }
  });
}

#define CONVSMITH_INSTANTIATE(T)                                             \
  template void multiply_on_tensor_cores(const char*, const GemmProblem<T>&, \
                                         const StoredMatrix<T>&, const StoredMatrix<T>&, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
