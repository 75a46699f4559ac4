// Against 02: B is cut into blocks that stay in the L1 cache while all rows of A pass by.
//
// 02 reads the whole of B from memory for every row of C. A block of 32 x 256 floats is 32 KB. What
// is left is the traffic with C: a load and a store for every multiply-add.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;

CONVSMITH_RUNG gemm_03_cache_blocks(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                                    float* c) {
  constexpr int64_t kDepth = 32, kWidth = 256;
  for (int64_t i = 0; i < m * n; ++i) c[i] = 0.0f;
  for (int64_t l0 = 0; l0 < k; l0 += kDepth) {
    for (int64_t j0 = 0; j0 < n; j0 += kWidth) {
      const int64_t l1 = minimum(l0 + kDepth, k), j1 = minimum(j0 + kWidth, n);
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t l = l0; l < l1; ++l) {
          const float factor = a[i * k + l];
          for (int64_t j = j0; j < j1; ++j) c[i * n + j] += factor * b[l * n + j];
        }
      }
    }
  }
}
