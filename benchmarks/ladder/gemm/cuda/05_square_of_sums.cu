// Against 04: each thread computes a square, 8 x 8 elements of C.
//
// 16 numbers from shared memory feed 64 multiply-adds, a quarter of a read for each. The tile of a
// block grows to 128 x 128, which also halves the traffic with global memory. A is stored depth by
// depth, so that a thread's 8 numbers of it are neighbours, as those of B are.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8;
constexpr int kThreads = BM / TM * (BN / TN);

__global__ void __launch_bounds__(kThreads)
    gemm_square_of_sums_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
  CONVSMITH_SHARED(float, tile_a, BK* BM);
  CONVSMITH_SHARED(float, tile_b, BK* BN);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_row = static_cast<int>(blockIdx.x) * BM;
  const int first_column = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / (BN / TN) * TM, place_n = thread % (BN / TN) * TN;
  float sums[TM][TN] = {};
  for (int l0 = 0; l0 < k; l0 += BK) {
    for (int i = thread; i < BM * BK; i += kThreads) {
      const int row = first_row + i / BK, l = l0 + i % BK;
      tile_a[i % BK * BM + i / BK] = row < m && l < k ? a[row * k + l] : 0.0f;
    }
    for (int i = thread; i < BK * BN; i += kThreads) {
      const int l = l0 + i / BN, column = first_column + i % BN;
      tile_b[i] = l < k && column < n ? b[l * n + column] : 0.0f;
    }
    sync_block();
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      float column_a[TM], row_b[TN];
#pragma unroll
      for (int i = 0; i < TM; ++i) column_a[i] = tile_a[l * BM + place_m + i];
#pragma unroll
      for (int j = 0; j < TN; ++j) row_b[j] = tile_b[l * BN + place_n + j];
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] += column_a[i] * row_b[j];
      }
    }
    sync_block();
  }
#pragma unroll
  for (int i = 0; i < TM; ++i) {
#pragma unroll
    for (int j = 0; j < TN; ++j) {
      const int row = first_row + place_m + i, column = first_column + place_n + j;
      if (row < m && column < n) c[row * n + column] = sums[i][j];
    }
  }
}

}  // namespace

void gemm_05_square_of_sums(int m, int n, int k, const float* a, const float* b, float* c,
                            Stream stream) {
  launch("gemm_05_square_of_sums", gemm_square_of_sums_kernel,
         Grid{(m + BM - 1) / BM, (n + BN - 1) / BN}, kThreads, 0, stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
