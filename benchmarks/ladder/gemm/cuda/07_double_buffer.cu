// Against 06: there are two buffers of tiles, and asynchronous copies (cp.async) fill one while the
// other is multiplied.
//
// In 06 a block waits for global memory in every step. Now a step's tiles were asked for one step
// earlier, and the wait is hidden behind 64 x 8 multiply-adds a thread. The copies go past the
// registers, so A stays as it lies in memory, row by row, and is read number by number; a row is
// padded by 4 floats, so that the two rows that a warp reads at once lie in different banks.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 128, BN = 128, BK = 8, TM = 8, TN = 8;
constexpr int kThreads = BM / TM * (BN / TN);
constexpr int kPitchA = BK + 4;

CONVSMITH_DEVICE int position(int place, int i) { return i / 4 * 64 + place * 4 + i % 4; }

__global__ void __launch_bounds__(kThreads)
    gemm_double_buffer_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
  CONVSMITH_SHARED(float, tiles_a, 2 * BM * kPitchA);
  CONVSMITH_SHARED(float, tiles_b, 2 * BK * BN);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_row = static_cast<int>(blockIdx.x) * BM;
  const int first_column = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / 16, place_n = thread % 16;
  const int line_a = thread / 2, depth_a = thread % 2 * 4;
  const int depth_b = thread / 32, line_b = thread % 32 * 4;
  const int row = first_row + line_a, column = first_column + line_b;
  const auto copy = [&](int l0, int buffer) {
    const bool exists_a = row < m && l0 + depth_a < k, exists_b = l0 + depth_b < k && column < n;
    copy_async_16(tiles_a + (buffer * BM + line_a) * kPitchA + depth_a,
                  exists_a ? a + row * k + l0 + depth_a : a, exists_a);
    copy_async_16(tiles_b + (buffer * BK + depth_b) * BN + line_b,
                  exists_b ? b + (l0 + depth_b) * n + column : b, exists_b);
    copy_async_commit();
  };
  float sums[TM][TN] = {};
  copy(0, 0);
  int buffer = 0;
  for (int l0 = 0; l0 < k; l0 += BK, buffer ^= 1) {
    copy_async_wait<0>();
    sync_block();  // these tiles are here, and everyone has left the others
    if (l0 + BK < k) copy(l0 + BK, buffer ^ 1);
    const float* const tile_a = tiles_a + buffer * BM * kPitchA;
    const float* const tile_b = tiles_b + buffer * BK * BN;
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      float column_a[TM];
      Pack<float, 4> row_b[2];
#pragma unroll
      for (int i = 0; i < TM; ++i) column_a[i] = tile_a[position(place_m, i) * kPitchA + l];
#pragma unroll
      for (int j = 0; j < 2; ++j)
        row_b[j] = load_pack<4>(tile_b + l * BN + position(place_n, 4 * j));
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] += column_a[i] * row_b[j / 4].v[j % 4];
      }
    }
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

void gemm_07_double_buffer(int m, int n, int k, const float* a, const float* b, float* c,
                           Stream stream) {
  launch("gemm_07_double_buffer", gemm_double_buffer_kernel,
         Grid{(m + BM - 1) / BM, (n + BN - 1) / BN}, kThreads, 0, stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
