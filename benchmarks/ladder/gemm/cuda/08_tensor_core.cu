// Against 07: operands in 16 bits, multiplied by the tensor cores (mma.sync), 16 x 8 x 16 at a
// time.
//
// One instruction of a warp does 2048 multiply-adds. Its operands come from shared memory by
// ldmatrix, eight 16-byte rows at once; the rows of B are transposed on the way. Neighbouring rows
// of a tile would start in the same banks, so the 16-byte chunks of a row change places: chunk c of
// row r lies at c XOR a few bits of r, and both the copies and ldmatrix meet every bank once. A
// warp holds 32 x 32 of C, a block of four warps 64 x 64; sums are float. Wants n and k to be
// multiples of 8.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 64, BN = 64, BK = 32;   // elements
constexpr int kThreads = 128, kChunk = 8;  // elements of 16 bytes
constexpr int kStage = BM * BK + BK * BN;

// Where chunk `chunk` of row `row` begins: A has 4 chunks a row, two rows in each pass over the
// banks; B has 8.
CONVSMITH_DEVICE int place_a(int row, int chunk) {
  return row * BK + (chunk ^ (row / 2 % 4)) * kChunk;
}
CONVSMITH_DEVICE int place_b(int row, int chunk) { return row * BN + (chunk ^ (row % 8)) * kChunk; }

__global__ void __launch_bounds__(kThreads)
    gemm_tensor_core_kernel(int m, int n, int k, const bfloat16* a, const bfloat16* b, float* c) {
  CONVSMITH_SHARED(bfloat16, tiles, 2 * kStage);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_row = static_cast<int>(blockIdx.x) * BM;
  const int first_column = static_cast<int>(blockIdx.y) * BN;
  const int warp_m = warp_id() / 2 * 32, warp_n = warp_id() % 2 * 32;
  const auto copy = [&](int l0, int buffer) {
    bfloat16* const tile_a = tiles + buffer * kStage;
    bfloat16* const tile_b = tile_a + BM * BK;
    for (int i = thread; i < BM * BK / kChunk; i += kThreads) {
      const int line = i / 4, chunk = i % 4, row = first_row + line, l = l0 + chunk * kChunk;
      const bool exists = row < m && l < k;
      copy_async_16(tile_a + place_a(line, chunk), exists ? a + row * k + l : a, exists);
    }
    for (int i = thread; i < BK * BN / kChunk; i += kThreads) {
      const int line = i / 8, chunk = i % 8, l = l0 + line, column = first_column + chunk * kChunk;
      const bool exists = l < k && column < n;
      copy_async_16(tile_b + place_b(line, chunk), exists ? b + l * n + column : b, exists);
    }
    copy_async_commit();
  };
  float sums[2][4][4] = {};
  copy(0, 0);
  int buffer = 0;
  for (int l0 = 0; l0 < k; l0 += BK, buffer ^= 1) {
    copy_async_wait<0>();
    sync_block();
    if (l0 + BK < k) copy(l0 + BK, buffer ^ 1);
    const bfloat16* const tile_a = tiles + buffer * kStage;
    const bfloat16* const tile_b = tile_a + BM * BK;
    const int matrix = lane_id() / 8, line = lane_id() % 8;
#pragma unroll
    for (int step = 0; step < BK / 16; ++step) {
      uint32_t rows[2][4], columns[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = warp_m + i * 16 + matrix % 2 * 8 + line;
        load_matrix_x4(rows[i], tile_a + place_a(row, step * 2 + matrix / 2));
        const int depth = step * 16 + matrix % 2 * 8 + line;
        const int chunk = (warp_n + i * 16) / kChunk + matrix / 2;
        load_matrix_x4_transposed(columns[i], tile_b + place_b(depth, chunk));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const uint32_t column[2] = {columns[j / 2][j % 2 * 2], columns[j / 2][j % 2 * 2 + 1]};
          mma_16x8x16(sums[i][j], rows[i], column, bfloat16{});
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int column = first_column + warp_n + j * 8 + lane_id() % 4 * 2;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + warp_m + i * 16 + half * 8 + lane_id() / 4;
        if (row >= m || column >= n) continue;
        store_pack(c + row * n + column,
                   Pack<float, 2>{{sums[i][j][half * 2], sums[i][j][half * 2 + 1]}});
      }
    }
  }
}

}  // namespace

void gemm_08_tensor_core(int m, int n, int k, const bfloat16* a, const bfloat16* b, float* c,
                         Stream stream) {
  launch("gemm_08_tensor_core", gemm_tensor_core_kernel, Grid{(m + BM - 1) / BM, (n + BN - 1) / BN},
         kThreads, 0, stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
