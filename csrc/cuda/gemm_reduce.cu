// c[m, n] = epilogue(sum over splits s, in order, of partial[s, group, m, n])
//
// The second half of a GEMM whose depth was split over blocks: one thread per output, always in the
// same order, so that the bits do not depend on which block came first. Memory-bound, coalesced.
#include "cuda/gemm_output.cuh"
#include "cuda/tile_table.h"

namespace convsmith::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads) gemm_reduce_kernel(GemmProblem<T> problem) {
  const int64_t plane = problem.gemm_m * problem.gemm_n;
  const int64_t size = problem.groups * plane;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += stride) {
    const float* from = problem.output.partial + i;
    float sums[1] = {0.0f};
    for (int64_t split = 0; split < problem.splits; ++split) sums[0] += from[split * size];
    const int64_t group = i / plane, m = i % plane / problem.gemm_n;
    finish_outputs<1>(problem.output, group, problem.gemm_n, m, i % problem.gemm_n, sums);
  }
}

}  // namespace

template <class T>
void reduce_splits(const char* op, const GemmProblem<T>& problem, Stream stream) {
  const int64_t blocks = divide_up(problem.groups * problem.gemm_m * problem.gemm_n, kThreads);
  launch(op, gemm_reduce_kernel<T>, Grid{smaller(blocks, kMostBlocks)}, kThreads, 0, stream,
         problem);
}

TileChoice& forced_choice() {
  static TileChoice choice{-1, 0};
  return choice;
}

void force_tile(int row, int64_t splits) { forced_choice() = {row, splits}; }

template void reduce_splits(const char*, const GemmProblem<float>&, Stream);
template void reduce_splits(const char*, const GemmProblem<float16>&, Stream);
template void reduce_splits(const char*, const GemmProblem<bfloat16>&, Stream);

}  // namespace convsmith::cuda
