// Against 02: each thread computes 4 x 4 outputs, a block of 256 threads 64 pixels x 64 channels.
//
// 8 numbers from shared memory feed 16 multiply-adds, where 02 read 2 for each. A thread's pixels
// are 16 apart, and so are its channels: then the 16 threads that differ in their channel read 16
// different banks.
#include "window.cuh"

namespace convsmith::cuda::ladder {
namespace {

constexpr int BM = 64, BN = 64, BK = 16, kSide = 16, kThreads = kSide * kSide;
constexpr int kPitch = BK + 1;

__global__ void __launch_bounds__(kThreads)
    conv2d_register_square_kernel(Conv2dShape s, Sizes sizes, const float* x, const float* weight,
                                  float* y) {
  CONVSMITH_SHARED(float, windows, BM* kPitch);
  CONVSMITH_SHARED(float, filters, BN* kPitch);
  const int thread = static_cast<int>(threadIdx.x);
  const int first_pixel = static_cast<int>(blockIdx.x) * BM;
  const int first_channel = static_cast<int>(blockIdx.y) * BN;
  const int place_m = thread / kSide, place_n = thread % kSide;
  float sums[4][4] = {};
  for (int l0 = 0; l0 < sizes.k; l0 += BK) {
    for (int i = thread; i < BM * BK; i += kThreads) {
      const int line = i / BK, l = l0 + i % BK, oc = first_channel + line;
      bool exists;
      const int64_t offset = window_offset(s, sizes, first_pixel + line, l, exists);
      windows[line * kPitch + i % BK] = exists ? x[offset] : 0.0f;
      filters[line * kPitch + i % BK] =
          oc < sizes.n && l < sizes.k ? weight[static_cast<int64_t>(oc) * sizes.k + l] : 0.0f;
    }
    sync_block();
#pragma unroll
    for (int l = 0; l < BK; ++l) {
      float window[4], filter[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        window[i] = windows[(place_m + i * kSide) * kPitch + l];
        filter[i] = filters[(place_n + i * kSide) * kPitch + l];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += window[i] * filter[j];
      }
    }
    sync_block();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int m = first_pixel + place_m + i * kSide, oc = first_channel + place_n + j * kSide;
      if (m < sizes.m && oc < sizes.n) y[static_cast<int64_t>(m) * sizes.n + oc] = sums[i][j];
    }
  }
}

}  // namespace

void conv2d_03_register_square(const Conv2dShape& s, const float* x, const float* weight, float* y,
                               Stream stream) {
  const Sizes sizes = gemm_sizes(s);
  launch("conv2d_03_register_square", conv2d_register_square_kernel,
         Grid{(sizes.m + BM - 1) / BM, (sizes.n + BN - 1) / BN}, kThreads, 0, stream, s, sizes, x,
         weight, y);
}

}  // namespace convsmith::cuda::ladder
