// One thread for each element of C, neighbouring threads down a column.
//
// The 32 threads of a warp read 32 different rows of A and write 32 different rows of C: each
// access touches 32 lines of memory for 4 bytes of each.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

__global__ void gemm_naive_kernel(int m, int n, int k, const float* a, const float* b, float* c) {
  const int row = static_cast<int>(blockIdx.x) * 32 + lane_id();
  const int column = static_cast<int>(blockIdx.y) * 8 + warp_id();
  if (row >= m || column >= n) return;
  float sum = 0.0f;
  for (int l = 0; l < k; ++l) sum += a[row * k + l] * b[l * n + column];
  c[row * n + column] = sum;
}

}  // namespace

void gemm_01_naive(int m, int n, int k, const float* a, const float* b, float* c, Stream stream) {
  launch("gemm_01_naive", gemm_naive_kernel, Grid{(m + 31) / 32, (n + 7) / 8}, 256, 0, stream, m, n,
         k, a, b, c);
}

}  // namespace convsmith::cuda::ladder
