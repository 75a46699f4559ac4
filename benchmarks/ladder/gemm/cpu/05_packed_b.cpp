// Against 04: B is first copied into panels as wide as a tile, [panel][k][columns].
//
// The steps of a tile then follow each other in memory: one stream, few pages, no lines that meet
// in the same cache set because rows are a power of two apart. The copy costs n * k, the sum m * n
// * k. The last panel is padded with zeros, so that every tile is a whole one; rows past the end
// repeat the last row, and the store leaves out what is not there.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;

namespace {

void pack(int64_t n, int64_t k, const float* b, float* packed) {
  for (int64_t j = 0; j < n; j += kColumns) {
    for (int64_t l = 0; l < k; ++l, packed += kColumns) {
      for (int64_t i = 0; i < kColumns; ++i) packed[i] = j + i < n ? b[l * n + j + i] : 0.0f;
    }
  }
}

void multiply_tile(int64_t rows, int64_t columns, int64_t n, int64_t k, const float* a,
                   const float* panel, float* c) {
  const float* row_of_a[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    row_of_a[i] = a + minimum(i, rows - 1) * k;
    asm("" : "+r"(row_of_a[i]));  // or the compiler works the addresses out anew in every step
  }
  Vec sums[kRows][kVectors] = {};
  for (int64_t l = 0; l < k; ++l, panel += kColumns) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(panel + v * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = broadcast(row_of_a[i][l]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] += factor * row[v];
    }
  }
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < kVectors && v * kLanes < columns; ++v) {
      store_first(c + i * n + v * kLanes, sums[i][v], minimum(kLanes, columns - v * kLanes));
    }
  }
}

}  // namespace

CONVSMITH_RUNG gemm_05_packed_b(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                                float* c) {
  const Buffer packed(round_up(n, kColumns) * k);
  pack(n, k, b, packed.data());
  for (int64_t j = 0; j < n; j += kColumns) {
    for (int64_t i = 0; i < m; i += kRows) {
      multiply_tile(minimum(kRows, m - i), minimum(kColumns, n - j), n, k, a + i * k,
                    packed.data() + j * k, c + i * n + j);
    }
  }
}
