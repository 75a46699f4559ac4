// Against 04: operands in 16 bits, multiplied by the tensor cores (mma.sync), 16 x 8 x 16 at a
// time.
//
// Both matrices lie along the depth, as the instruction wants its operands, so ldmatrix brings them
// without transposing. The 16-byte chunks of a row change places with the row, so that neither the
// copies nor ldmatrix meet in a bank. A warp holds 32 pixels x 32 channels, a block of four 64
// x 64. Wants the input channels in eights.
#include "window.cuh"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 64, BN = 64, BK = 32;   // elements
constexpr int kThreads = 128, kChunk = 8;  // elements of 16 bytes
constexpr int kStage = (BM + BN) * BK;

CONVSMITH_DEVICE int place(int row, int chunk) {
  return row * BK + (chunk ^ (row / 2 % 4)) * kChunk;
}

__global__ void __launch_bounds__(kThreads)
    conv2d_matrix_units_kernel(Conv2dShape s, Sizes sizes, const bfloat16* x,
                               const bfloat16* weight, float* y) {
  CONVSMITH_SHARED(bfloat16, tiles, 2 * kStage);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_pixel = static_cast<int>(blockIdx.x) * BM;
  const int first_channel = static_cast<int>(blockIdx.y) * BN;
  const int warp_m = warp_id() / 2 * 32, warp_n = warp_id() % 2 * 32;
  const auto copy = [&](int l0, int buffer) {
    bfloat16* const windows = tiles + buffer * kStage;
    bfloat16* const filters = windows + BM * BK;
    for (int i = thread; i < BM * BK / kChunk; i += kThreads) {
      const int line = i / 4, chunk = i % 4, l = l0 + chunk * kChunk, oc = first_channel + line;
      bool exists;
      const int64_t offset = window_offset(s, sizes, first_pixel + line, l, exists);
      copy_async_16(windows + place(line, chunk), x + offset, exists);
      const bool filter_exists = oc < sizes.n && l < sizes.k;
      copy_async_16(filters + place(line, chunk),
                    filter_exists ? weight + static_cast<int64_t>(oc) * sizes.k + l : weight,
                    filter_exists);
    }
    copy_async_commit();
  };
  float sums[2][4][4] = {};
  copy(0, 0);
  int buffer = 0;
  for (int l0 = 0; l0 < sizes.k; l0 += BK, buffer ^= 1) {
    copy_async_wait<0>();
    sync_block();
    if (l0 + BK < sizes.k) copy(l0 + BK, buffer ^ 1);
    const bfloat16* const windows = tiles + buffer * kStage;
    const bfloat16* const filters = windows + BM * BK;
    const int matrix = lane_id() / 8, line = lane_id() % 8;
#pragma unroll
    for (int step = 0; step < BK / 16; ++step) {
      uint32_t rows[2][4], columns[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = warp_m + i * 16 + matrix % 2 * 8 + line;
        load_matrix_x4(rows[i], windows + place(row, step * 2 + matrix / 2));
        const int column = warp_n + i * 16 + matrix / 2 * 8 + line;
        load_matrix_x4(columns[i], filters + place(column, step * 2 + matrix % 2));
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
#pragma unroll
      for (int l = 0; l < 4; ++l) {
        const int m = first_pixel + warp_m + i * 16 + l / 2 * 8 + lane_id() / 4;
        const int oc = first_channel + warp_n + j * 8 + lane_id() % 4 * 2 + l % 2;
        if (m < sizes.m && oc < sizes.n) y[static_cast<int64_t>(m) * sizes.n + oc] = sums[i][j][l];
      }
    }
  }
}

}  // namespace

void conv2d_05_matrix_units(const Conv2dShape& s, const bfloat16* x, const bfloat16* weight,
                            float* y, Stream stream) {
  const Sizes sizes = gemm_sizes(s);
  launch("conv2d_05_matrix_units", conv2d_matrix_units_kernel,
         Grid{(sizes.m + BM - 1) / BM, (sizes.n + BN - 1) / BN}, kThreads, 0, stream, s, sizes, x,
         weight, y);
}

}  // namespace convsmith::cuda::ladder
