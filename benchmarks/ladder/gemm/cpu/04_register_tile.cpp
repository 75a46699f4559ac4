// Against 03: a tile of C, 6 rows of 4 vectors, stays in registers for the whole sum.
//
// C is written once, and every load works several times: a step of the sum loads 4 vectors of B and
// 6 numbers of A and does 24 vector multiply-adds with them, in 24 chains that do not wait for each
// other. What is left: B is read in place, so the steps of a tile are a row of B apart, each on
// another page of memory.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;

namespace {

// Edges of C that are not a whole tile.
void multiply_edge(int64_t rows, int64_t columns, int64_t n, int64_t k, const float* a,
                   const float* b, float* c) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      float sum = 0.0f;
      for (int64_t l = 0; l < k; ++l) sum += a[i * k + l] * b[l * n + j];
      c[i * n + j] = sum;
    }
  }
}

void multiply_tile(int64_t n, int64_t k, const float* a, const float* b, float* c) {
  Vec sums[kRows][kVectors] = {};
  for (int64_t l = 0; l < k; ++l) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(b + l * n + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = broadcast(a[i * k + l]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] += factor * row[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(c + i * n + v * kLanes, sums[i][v]);
  }
}

}  // namespace

CONVSMITH_RUNG gemm_04_register_tile(int64_t m, int64_t n, int64_t k, const float* a,
                                     const float* b, float* c) {
  for (int64_t j = 0; j < n; j += kColumns) {
    for (int64_t i = 0; i < m; i += kRows) {
      if (i + kRows <= m && j + kColumns <= n) {
        multiply_tile(n, k, a + i * k, b + j, c + i * n + j);
      } else {
        multiply_edge(minimum(kRows, m - i), minimum(kColumns, n - j), n, k, a + i * k, b + j,
                      c + i * n + j);
      }
    }
  }
}
