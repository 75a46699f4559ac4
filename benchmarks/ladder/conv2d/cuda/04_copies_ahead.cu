// Against 03: asynchronous copies of 16 bytes fill one buffer while the other is multiplied.
//
// Four neighbours of a window are four channels of one tap, so one address serves them all and they
// are in the padding together: a quarter of the address arithmetic, and none of the waiting. Wants
// the input channels in fours. The price: rows must be multiples of 16 bytes apart. With 20 floats
// eight of them start in different banks, and of the 16 that a warp reads two and two meet.
#include "window.cuh"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 64, BN = 64, BK = 16, kSide = 16, kThreads = kSide * kSide;
constexpr int kPitch = BK + 4;
static_assert(BM * BK == 4 * kThreads && BN == BM, "each thread copies one vector of each tile");

__global__ void __launch_bounds__(kThreads)
    conv2d_copies_ahead_kernel(Conv2dShape s, Sizes sizes, const float* x, const float* weight,
                               float* y) {
  CONVSMITH_SHARED(float, windows, 2 * BM * kPitch);
  CONVSMITH_SHARED(float, filters, 2 * BN * kPitch);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_pixel = static_cast<int>(blockIdx.x) * BM;
  const int first_channel = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / kSide, place_n = thread % kSide;
  const int line = thread / 4, depth = thread % 4 * 4, oc = first_channel + line;
  const auto copy = [&](int l0, int buffer) {
    bool exists;
    const int64_t offset = window_offset(s, sizes, first_pixel + line, l0 + depth, exists);
    copy_async_16(windows + (buffer * BM + line) * kPitch + depth, x + offset, exists);
    const bool filter_exists = oc < sizes.n && l0 + depth < sizes.k;
    copy_async_16(filters + (buffer * BN + line) * kPitch + depth,
                  filter_exists ? weight + static_cast<int64_t>(oc) * sizes.k + l0 + depth : weight,
                  filter_exists);
    copy_async_commit();
  };
  float sums[4][4] = {};
  copy(0, 0);
  int buffer = 0;
  for (int l0 = 0; l0 < sizes.k; l0 += BK, buffer ^= 1) {
    copy_async_wait<0>();
    sync_block();  // these tiles are here, and everyone has left the others
    if (l0 + BK < sizes.k) copy(l0 + BK, buffer ^ 1);
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      float window[4], filter[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        window[i] = windows[(buffer * BM + place_m + i * kSide) * kPitch + l];
        filter[i] = filters[(buffer * BN + place_n + i * kSide) * kPitch + l];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += window[i] * filter[j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int m = first_pixel + place_m + i * kSide,
                channel = first_channel + place_n + j * kSide;
      if (m < sizes.m && channel < sizes.n) {
        y[static_cast<int64_t>(m) * sizes.n + channel] = sums[i][j];
      }
    }
  }
}

}  // namespace

void conv2d_04_copies_ahead(const Conv2dShape& s, const float* x, const float* weight, float* y,
                            Stream stream) {
  const Sizes sizes = gemm_sizes(s);
  launch("conv2d_04_copies_ahead", conv2d_copies_ahead_kernel,
         Grid{(sizes.m + BM - 1) / BM, (sizes.n + BN - 1) / BN}, kThreads, 0, stream, s, sizes, x,
         weight, y);
}

}  // namespace convsmith::cuda::ladder
