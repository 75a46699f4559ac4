// Against 05: the sum is cut into blocks of 512, the rows into blocks of 192, and each such block
// of A is copied with its rows a little more than 2 KB apart.
//
// 05 reads the whole of A anew for every panel, from L3 or memory, in rows that meet in the same
// cache sets when k is a power of two. A copied block is 400 KB and stays in L2 for all panels; of
// B a panel's 128 KB do. C is visited once for every block of the sum, which adds to it.
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

constexpr int64_t kDepth = 512, kBlockRows = 192;
constexpr int64_t kStride = kDepth + 16;  // of the copied rows

void copy_rows(int64_t rows, int64_t depth, int64_t k, const float* a, float* copy) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t l = 0; l < depth; ++l) copy[i * kStride + l] = a[i * k + l];
  }
}

// c += a panel, or c = a panel for the first block of the sum.
void multiply_tile(bool first, int64_t rows, int64_t columns, int64_t n, int64_t depth,
                   const float* a, const float* panel, float* c) {
  const float* row_of_a[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    row_of_a[i] = a + minimum(i, rows - 1) * kStride;
    asm("" : "+r"(row_of_a[i]));  // or the compiler works the addresses out anew in every step
  }
  Vec sums[kRows][kVectors] = {};
  for (int64_t l = 0; l < depth; ++l, panel += kColumns) {
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
      const int64_t lanes = minimum(kLanes, columns - v * kLanes);
      float* to = c + i * n + v * kLanes;
      store_first(to, first ? sums[i][v] : load_first(to, lanes) + sums[i][v], lanes);
    }
  }
}

}  // namespace

CONVSMITH_RUNG gemm_06_blocked_a(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                                 float* c) {
  const Buffer packed(round_up(n, kColumns) * k), block(kBlockRows * kStride);
  pack(n, k, b, packed.data());
  for (int64_t i0 = 0; i0 < m; i0 += kBlockRows) {
    const int64_t rows = minimum(kBlockRows, m - i0);
    for (int64_t l0 = 0; l0 < k; l0 += kDepth) {
      const int64_t depth = minimum(kDepth, k - l0);
      copy_rows(rows, depth, k, a + i0 * k + l0, block.data());
      for (int64_t j = 0; j < n; j += kColumns) {
        const float* panel = packed.data() + j * k + l0 * kColumns;
        for (int64_t i = 0; i < rows; i += kRows) {
          multiply_tile(l0 == 0, minimum(kRows, rows - i), minimum(kColumns, n - j), n, depth,
                        block.data() + i * kStride, panel, c + (i0 + i) * n + j);
        }
      }
    }
  }
}
