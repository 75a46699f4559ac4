// Against 01: the convolution is a matrix product whose left matrix, windows by pixels, is never
// stored. 32 x 32 tiles of it and of the weights pass through shared memory.
//
// Every number that a block loads now serves 32 outputs, and a warp reads 32 neighbours along the
// depth, of a pixel and of a filter alike. The address of a number of the window is worked out when
// it is loaded (window.cuh). The tile of the weights is stored with a pitch of 33, so that a column
// of it lies in 32 different banks.
#include "window.cuh"

namespace convsmith::cuda::ladder {
namespace {

constexpr int kTile = 32, kPitch = kTile + 1;

__global__ void __launch_bounds__(kTile* kTile)
    conv2d_implicit_gemm_kernel(Conv2dShape s, Sizes sizes, const float* x, const float* weight,
                                float* y) {
  CONVSMITH_SHARED(float, windows, kTile* kPitch);
  CONVSMITH_SHARED(float, filters, kTile* kPitch);
  const int line = warp_id(), lane = lane_id();
  const int first_pixel = static_cast<int>(blockIdx.x) * kTile;
  const int first_channel = static_cast<int>(blockIdx.y) * kTile;
  float sum = 0.0f;
  for (int l0 = 0; l0 < sizes.k; l0 += kTile) {
    const int l = l0 + lane, oc = first_channel + line;
    bool exists;
    const int64_t offset = window_offset(s, sizes, first_pixel + line, l, exists);
    windows[line * kPitch + lane] = exists ? x[offset] : 0.0f;
    filters[line * kPitch + lane] =
        oc < sizes.n && l < sizes.k ? weight[static_cast<int64_t>(oc) * sizes.k + l] : 0.0f;
    sync_block();
    for (int i = 0; i < kTile; ++i) sum += windows[line * kPitch + i] * filters[lane * kPitch + i];
    sync_block();
  }
  const int m = first_pixel + line, oc = first_channel + lane;
  if (m < sizes.m && oc < sizes.n) y[static_cast<int64_t>(m) * sizes.n + oc] = sum;
}

}  // namespace

void conv2d_02_implicit_gemm(const Conv2dShape& s, const float* x, const float* weight, float* y,
                             Stream stream) {
  const Sizes sizes = gemm_sizes(s);
  launch("conv2d_02_implicit_gemm", conv2d_implicit_gemm_kernel,
         Grid{(sizes.m + kTile - 1) / kTile, (sizes.n + kTile - 1) / kTile}, kTile * kTile, 0,
         stream, s, sizes, x, weight, y);
}

}  // namespace convsmith::cuda::ladder
