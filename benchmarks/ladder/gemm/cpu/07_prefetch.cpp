// Against 06: what is needed next is asked for before it is needed, at an even pace.
//
// A panel of B comes from L3, and with 06 the first tile of a block waits for every line of it.
// Here each tile asks, one line with every four steps of the sum, for its share of the next panel,
// and in its last steps for the lines of C that it is about to meet. In a burst at the start of a
// tile the same prefetches gain nothing: a core waits for some 16 lines at a time, and the tile's
// own loads would queue behind them.
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
                   const float* a, const float* panel, const float* upcoming, int64_t upcoming_step,
                   float* c) {
  const float* row_of_a[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
    row_of_a[i] = a + minimum(i, rows - 1) * kStride;
    asm("" : "+r"(row_of_a[i]));  // or the compiler works the addresses out anew in every step
  }
  Vec sums[kRows][kVectors] = {};
  const auto step = [&](int64_t l) __attribute__((always_inline)) {
    Vec row[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) row[v] = load(panel + v * kLanes);
    panel += kColumns;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = broadcast(row_of_a[i][l]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] += factor * row[v];
    }
  };
  int64_t line = rows * kVectors - depth / 4, l = 0;  // of C; negative: not yet
  for (; l + 4 <= depth; l += 4, ++line) {
    __builtin_prefetch(upcoming, 0, 2);
    upcoming += upcoming_step;
    if (line >= 0) __builtin_prefetch(c + line / kVectors * n + line % kVectors * kLanes, 1);
    step(l);
    step(l + 1);
    step(l + 2);
    step(l + 3);
  }
  for (; l < depth; ++l) step(l);
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < kVectors && v * kLanes < columns; ++v) {
      const int64_t lanes = minimum(kLanes, columns - v * kLanes);
      float* to = c + i * n + v * kLanes;
      store_first(to, first ? sums[i][v] : load_first(to, lanes) + sums[i][v], lanes);
    }
  }
}

}  // namespace

CONVSMITH_RUNG gemm_07_prefetch(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
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
        const float* upcoming = j + kColumns < n ? panel + kColumns * k : panel;
        const int64_t step = divide_up(4 * kColumns, divide_up(rows, kRows));
        for (int64_t i = 0; i < rows; i += kRows, upcoming += depth / 4 * step) {
          multiply_tile(l0 == 0, minimum(kRows, rows - i), minimum(kColumns, n - j), n, depth,
                        block.data() + i * kStride, panel, upcoming, step, c + (i0 + i) * n + j);
        }
      }
    }
  }
}
