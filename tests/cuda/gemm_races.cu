// The GEMM engines with small tiles, under every schedule of the executor, on integers (so that the
// result is exact). Built under the sanitizers and the race checker, where the whole kernel files
// would take minutes to compile. Prints how many results differ.
#include <cstdio>
#include <vector>

#include "cuda/operand_source.cuh"
#include "cuda/tensor_gemm.cuh"
#include "simt/runtime.h"

namespace convsmith::cuda {
namespace {

template <class Tile, int V, class T, class A, class B>
__global__ void direct_kernel(GemmProblem<T> problem, A a, B b) {
  direct_gemm_block<Tile, V>(problem, a, b);
}
template <class Tile, class T, class A, class B>
__global__ void tensor_kernel(GemmProblem<T> problem, A a, B b) {
  tensor_gemm_block<Tile>(problem, a, b);
}

constexpr int64_t M = 40, N = 24, K = 112;

int64_t wrong = 0;

template <class T, bool kDepthA, bool kDepthB, class Run>
void product(int64_t splits, Run&& run) {
  std::vector<T> a(M * K), b(K * N), c(M * N);
  const auto value = [](int64_t i) { return static_cast<float>(i * 7 % 5 - 2); };
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t k = 0; k < K; ++k) {
      a[kDepthA ? m * K + k : k * M + m] = from_float<T>(value(m * 3 + k));
    }
  }
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t k = 0; k < K; ++k) {
      b[kDepthB ? n * K + k : k * N + n] = from_float<T>(value(n * 11 + k * k));
    }
  }
  MatrixSource<T, kDepthA> left{a.data(), 0, M, K, kDepthA ? K : M, 0};
  MatrixSource<T, kDepthB> right{b.data(), 0, N, K, kDepthB ? K : N, 0};
  const GemmProblem<T> problem = plain_problem(M, N, K, 1, c.data(), N, 0);
  run(problem, left, right, splits);
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < N; ++n) {
      float sum = 0.0f;
      for (int64_t k = 0; k < K; ++k) sum += value(m * 3 + k) * value(n * 11 + k * k);
      wrong += to_float(from_float<T>(sum)) == to_float(c[m * N + n]) ? 0 : 1;
    }
  }
}

template <class T, class Tile, int V, bool kDepthA, bool kDepthB>
void direct(int64_t splits) {
  product<T, kDepthA, kDepthB>(splits, [](const auto& problem, auto a, auto b, int64_t count) {
    a.set_step(Tile::BK);
    b.set_step(Tile::BK);
    run_tiles("direct", problem, TileRow{Tile::BM, Tile::BN, Tile::BK, 1, 1}, count, nullptr,
              [&](const GemmProblem<T>& part, Grid grid) {
                launch("direct", &direct_kernel<Tile, V, T, decltype(a), decltype(b)>, grid,
                       Tile::kThreads, 0, nullptr, part, a, b);
              });
  });
}

template <class T, class Tile, bool kDepthA, bool kDepthB>
void tensor(int64_t splits) {
  product<T, kDepthA, kDepthB>(splits, [](const auto& problem, auto a, auto b, int64_t count) {
    constexpr int kDepth = TensorOperand<decltype(a), Tile::BM, Tile::kThreads>::kDepth;
    a.set_step(kDepth);
    b.set_step(kDepth);
    run_tiles("tensor", problem, TileRow{Tile::BM, Tile::BN, 32, 1, 1}, count, nullptr,
              [&](const GemmProblem<T>& part, Grid grid) {
                launch("tensor", &tensor_kernel<Tile, T, decltype(a), decltype(b)>, grid,
                       Tile::kThreads, static_cast<size_t>(kTensorSharedBytes<Tile>), nullptr, part,
                       a, b);
              });
  });
}

void everything(int64_t splits) {
  using Two = TensorTile<32, 32, 16, 16, 2, 1>;  // the fewest stages there may be
  direct<float, DirectSmall, 4, true, false>(splits);
  direct<float, DirectSmall, 1, false, true>(splits);
  tensor<bfloat16, TensorSmall, true, true>(splits);
  tensor<bfloat16, TensorMedium, false, false>(splits);
  tensor<float16, Two, true, false>(splits);
  tensor<float, Two, false, true>(splits);
}

}  // namespace
}  // namespace convsmith::cuda

int main() {
  using convsmith::simt::Policy;
  for (const Policy policy : {Policy::round_robin, Policy::skew, Policy::random}) {
    for (uint64_t seed = 0; seed < 2; ++seed) {
      convsmith::simt::set_schedule({policy, seed});
      convsmith::cuda::everything(seed == 0 ? 1 : 2);
    }
  }
  std::printf("%lld\n", static_cast<long long>(convsmith::cuda::wrong));
  return convsmith::cuda::wrong == 0 ? 0 : 1;
}
