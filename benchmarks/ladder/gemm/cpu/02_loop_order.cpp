// Against 01: the two inner loops change places.
//
// Now the innermost loop runs along a row of B and a row of C: whole cache lines are used, the
// additions do not depend on each other, and the compiler makes vectors of them.
#include "rung.h"

CONVSMITH_RUNG gemm_02_loop_order(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                                  float* c) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * n + j] = 0.0f;
    for (int64_t l = 0; l < k; ++l) {
      const float factor = a[i * k + l];
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += factor * b[l * n + j];
    }
  }
}
