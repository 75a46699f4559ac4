// Against 03: each thread computes 8 elements of C, one below the other.
//
// A number of B, once in a register, serves 8 sums: 9 reads of shared memory for 8 multiply-adds in
// place of 16. The tiles become 64 x 8 and 8 x 64, the block 512 threads.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 64, BN = 64, BK = 8, TM = 8;
constexpr int kThreads = BM / TM * BN;

__global__ void __launch_bounds__(kThreads)
    gemm_column_of_sums_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
  CONVSMITH_SHARED(float, tile_a, BM* BK);
  CONVSMITH_SHARED(float, tile_b, BK* BN);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_row = static_cast<int>(blockIdx.x) * BM;
  const int first_column = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / BN * TM, place_n = thread % BN;
  const int row_a = first_row + thread / BK, column_b = first_column + thread % BN;
  float sums[TM] = {};
  for (int l0 = 0; l0 < k; l0 += BK) {
    const int l_a = l0 + thread % BK, l_b = l0 + thread / BN;
    tile_a[thread] = row_a < m && l_a < k ? a[row_a * k + l_a] : 0.0f;
    tile_b[thread] = l_b < k && column_b < n ? b[l_b * n + column_b] : 0.0f;
    sync_block();
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      const float factor = tile_b[l * BN + place_n];
#pragma unroll
      for (int i = 0; i < TM; ++i) sums[i] += tile_a[(place_m + i) * BK + l] * factor;
    }
    sync_block();
  }
#pragma unroll
  for (int i = 0; i < TM; ++i) {
    const int row = first_row + place_m + i, column = first_column + place_n;
    if (row < m && column < n) c[row * n + column] = sums[i];
  }
}

}  // namespace

void gemm_04_column_of_sums(int m, int n, int k, const float* a, const float* b, float* c,
                            Stream stream) {
  launch("gemm_04_column_of_sums", gemm_column_of_sums_kernel,
         Grid{(m + BM - 1) / BM, (n + BN - 1) / BN}, kThreads, 0, stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
