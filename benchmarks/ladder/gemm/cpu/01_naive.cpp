// The definition: one dot product for each element of C.
//
// The innermost loop walks down a column of B, so every step touches another cache line and uses
// 4 of its 64 bytes; the sum is one chain of additions, each waiting for the one before.
#include "rung.h"

CONVSMITH_RUNG gemm_01_naive(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                             float* c) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0.0f;
      for (int64_t l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      c[i * n + j] = sum;
    }
  }
}
