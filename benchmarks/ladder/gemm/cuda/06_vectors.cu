// Against 05: all accesses, to global and to shared memory, move 16 bytes at once.
//
// A quarter of the load and store instructions do the same work. A thread's square falls into four
// squares of 4 x 4, half a tile apart: then neighbouring threads read neighbouring vectors of
// shared memory, and no two of them meet in a bank. Wants n and k to be multiples of 4.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8;
constexpr int kThreads = BM / TM * (BN / TN);

// Element i of a thread's 8 along one side of the tile.
CONVSMITH_DEVICE int position(int place, int i) { return i / 4 * 64 + place * 4 + i % 4; }

CONVSMITH_DEVICE Pack<float, 4> load_or_zero(const float* address, bool exists) {
  return exists ? load_pack<4>(address) : Pack<float, 4>{};
}

__global__ void __launch_bounds__(kThreads)
    gemm_vectors_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
  CONVSMITH_SHARED(float, tile_a, BK* BM);
  CONVSMITH_SHARED(float, tile_b, BK* BN);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_row = static_cast<int>(blockIdx.x) * BM;
  const int first_column = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / 16, place_n = thread % 16;
  const int line_a = thread / 2, depth_a = thread % 2 * 4;    // 128 lines of 2 vectors
  const int depth_b = thread / 32, line_b = thread % 32 * 4;  // 8 depths of 32 vectors
  const int row = first_row + line_a, column = first_column + line_b;
  float sums[TM][TN] = {};
  for (int l0 = 0; l0 < k; l0 += BK) {
    const Pack<float, 4> four =
        load_or_zero(a + row * k + l0 + depth_a, row < m && l0 + depth_a < k);
#pragma unroll
    for (int i = 0; i < 4; ++i) tile_a[(depth_a + i) * BM + line_a] = four.v[i];
    store_pack(tile_b + depth_b * BN + line_b,
               load_or_zero(b + (l0 + depth_b) * n + column, l0 + depth_b < k && column < n));
    sync_block();
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      Pack<float, 4> column_a[2], row_b[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        column_a[i] = load_pack<4>(tile_a + l * BM + position(place_m, 4 * i));
        row_b[i] = load_pack<4>(tile_b + l * BN + position(place_n, 4 * i));
      }
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] += column_a[i / 4].v[i % 4] * row_b[j / 4].v[j % 4];
      }
    }
    sync_block();
  }
#pragma unroll
  for (int i = 0; i < TM; ++i) {
#pragma unroll
    for (int j = 0; j < TN; j += 4) {
      const int y = first_row + position(place_m, i), x = first_column + position(place_n, j);
      if (y >= m || x >= n) continue;
      store_pack(c + y * n + x,
                 Pack<float, 4>{{sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]}});
    }
  }
}

}  // namespace

void gemm_06_vectors(int m, int n, int k, const float* a, const float* b, float* c, Stream stream) {
  launch("gemm_06_vectors", gemm_vectors_kernel, Grid{(m + BM - 1) / BM, (n + BN - 1) / BN},
         kThreads, 0, stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
