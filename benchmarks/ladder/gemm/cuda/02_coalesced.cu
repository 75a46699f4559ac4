// Against 01: neighbouring threads go along a row of C.
//
// A warp now reads 32 neighbours of B and writes 32 neighbours of C, one line each, and one element
// of A that all lanes share. Nothing else changes.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

__global__ void gemm_coalesced_kernel(int m, int n, int k, const float* a, const float* b,
                                      float* c) {
  const int row = static_cast<int>(blockIdx.x) * 8 + warp_id();
  const int column = static_cast<int>(blockIdx.y) * 32 + lane_id();
  if (row >= m || column >= n) return;
  float sum = 0.0f;
  for (int l = 0; l < k; ++l) sum += a[row * k + l] * b[l * n + column];
  c[row * n + column] = sum;
}

}  // namespace

void gemm_02_coalesced(int m, int n, int k, const float* a, const float* b, float* c,
                       Stream stream) {
  launch("gemm_02_coalesced", gemm_coalesced_kernel, Grid{(m + 7) / 8, (n + 31) / 32}, 256, 0,
         stream, m, n, k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
