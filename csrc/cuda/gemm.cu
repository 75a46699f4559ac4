// c = activation(alpha op(a) op(b) + beta c + bias + residual), row-major; op transposes or not.
//
// a [m, k] or [k, m], b [k, n] or [n, k]. Direct kernel: float arithmetic, tiles of tile_table.h.
// Four transpositions are four pairs of sources, so that global reads follow memory in each.
#include "cuda/gemm.cuh"

#include <type_traits>

#include "cuda/gemm_launch.cuh"
#include "cuda/kernels.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Tile, int V, bool kDepthA, bool kDepthB>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    gemm_direct_kernel(GemmProblem<T> problem, MatrixSource<T, kDepthA> a,
                       MatrixSource<T, kDepthB> b) {
  direct_gemm_block<Tile, V>(problem, a, b);
}

template <bool kDepthA, bool kDepthB>
struct GemmKernels {
  template <class T, class Tile, int V>
  static auto direct() {
    return &gemm_direct_kernel<T, Tile, V, kDepthA, kDepthB>;
  }
};

}  // namespace

template <class T>
void multiply_directly(const char* op, const GemmProblem<T>& problem, const StoredMatrix<T>& a,
                       const StoredMatrix<T>& b, Stream stream) {
  const bool vectors = packs_fit<4>(a, problem.gemm_m, problem.gemm_k) &&
                       packs_fit<4>(b, problem.gemm_n, problem.gemm_k);
  with_matrix_sources(problem, a, b, [&](const auto& source_a, const auto& source_b) {
    constexpr bool kDepthA = std::decay_t<decltype(source_a)>::kDepthContiguous;
    constexpr bool kDepthB = std::decay_t<decltype(source_b)>::kDepthContiguous;
    launch_direct<GemmKernels<kDepthA, kDepthB>>(op, problem, source_a, source_b, vectors, stream);
  });
}

template <class T>
void multiply_matrices(const char* op, const GemmProblem<T>& problem, const StoredMatrix<T>& a,
                       const StoredMatrix<T>& b, Algorithm algorithm, Stream stream) {
  constexpr int kChunk = 16 / static_cast<int>(sizeof(T));
  const bool asked = algorithm == Algorithm::tensor_core || algorithm == Algorithm::tf32 ||
                     (algorithm == Algorithm::automatic && sizeof(T) == 2);
  if (asked && packs_fit<kChunk>(a, problem.gemm_m, problem.gemm_k) &&
      packs_fit<kChunk>(b, problem.gemm_n, problem.gemm_k)) {
    multiply_on_tensor_cores(op, problem, a, b, stream);
  } else {
    multiply_directly(op, problem, a, b, stream);
  }
}

template <class T>
void gemm(const GemmShape& shape, float alpha, const T* a, const T* b, float beta,
          const DeviceEpilogue<T>& epilogue, T* c, Stream stream) {
  GemmProblem<T> problem =
      plain_problem(shape.gemm_m, shape.gemm_n, shape.gemm_k, 1, c, shape.gemm_n, 0);
  problem.output.epilogue = epilogue;
  problem.output.alpha = alpha;
  problem.output.beta = beta;
  const StoredMatrix<T> left{a, shape.transpose_a ? shape.gemm_m : shape.gemm_k, 0,
                             !shape.transpose_a};
  const StoredMatrix<T> right{b, shape.transpose_b ? shape.gemm_k : shape.gemm_n, 0,
                              shape.transpose_b};
  multiply_matrices("gemm", problem, left, right, Algorithm::automatic, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                                   \
  template void gemm(const GemmShape&, float, const T*, const T*, float, const DeviceEpilogue<T>&, \
                     T*, Stream);                                                                  \
  template void multiply_matrices(const char*, const GemmProblem<T>&, const StoredMatrix<T>&,      \
                                  const StoredMatrix<T>&, Algorithm, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
