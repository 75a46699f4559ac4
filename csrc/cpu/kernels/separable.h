// The one kernel behind average pooling, adaptive pooling and bilinear upsampling, forward and
// backward: a linear map that acts on rows and columns apart,
//
//   to[n, i, j, c] = sum over a in rows(i), b in columns(j) of
//                    row_weight(i, a) column_weight(j, b) from[n, a, b, c],
//
// where rows(i) and columns(j) are ranges of neighbours. The backward of such a map is another one:
// the outputs that a given input reached are neighbours too. So both directions are gathers: no
// atomics, every element written once, additions in a fixed order.
#pragma once

#include "cpu/parallel.h"
#include "cpu/simd_lanes.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

enum class Weights {
  none,      // all 1: a plain sum
  divisors,  // the sum is divided by weights[weight]: exact sums stay exact
  factors    // element k of the range is multiplied by weights[weight + k]
};

// What one position reads: [first, first + count), and where its weights are.
struct Reach {
  int64_t first, count, weight;
};
struct Axis {
  const Reach* reaches;
  const float* weights;
};

CONVSMITH_INLINE Reach reach_between(int64_t first, int64_t end, int64_t weight) {
  return {first, end > first ? end - first : 0, weight};
}

// The outputs that each of `size` inputs reached; firsts and ends of the outputs never decrease.
// Where a factor depends on the output alone, factors[o] is what input i multiplies it with.
static inline void transpose_reaches(const Reach* outputs, int64_t out, Reach* inputs,
                                     int64_t size) {
  int64_t begin = 0, end = 0;
  for (int64_t i = 0; i < size; ++i) {
    while (begin < out && outputs[begin].first + outputs[begin].count <= i) ++begin;
    while (end < out && outputs[end].first <= i) ++end;
    inputs[i] = reach_between(begin, end, begin);
  }
}

struct SeparableShape {
  int64_t batch, channels;
  int64_t from_h, from_w, to_h, to_w;
};

// kCount > 0 promises ranges of just that many rows and columns: the loops unroll.
template <Weights kWeights, int kCount>
CONVSMITH_INLINE void separable_pixel(const SeparableShape& s, const Axis& vertical,
                                      const Axis& horizontal, const Reach& rows,
                                      const Reach& columns, int64_t channels, const float* from,
                                      float* to) {
  const float* row_weights = vertical.weights + rows.weight;
  const float* column_weights = horizontal.weights + columns.weight;
  const int64_t row_count = kCount > 0 ? kCount : rows.count;
  const int64_t column_count = kCount > 0 ? kCount : columns.count;
  const int64_t row_step = s.from_w * s.channels;
  for_vectors(channels, [&](int64_t c, auto lanes) {
    Vec sum = {};
    for (int64_t a = 0; a < row_count; ++a) {
      Vec line = {};
      const float* p = from + a * row_step + c;
      for (int64_t b = 0; b < column_count; ++b) {
        const Vec v = lanes.load(p + b * s.channels);
        line += kWeights == Weights::factors ? column_weights[b] * v : v;
      }
      sum += kWeights == Weights::factors ? row_weights[a] * line : line;
    }
    if (kWeights == Weights::divisors) sum = sum / (row_weights[0] * column_weights[0]);
    lanes.store(to + c, sum);
  });
}

// A task is a band of rows of the result; where there are few rows (global pooling), a row is
// cut into panels of channels besides.
template <Weights kWeights>
void separable_map(const SeparableShape& s, const Axis& vertical, const Axis& horizontal,
                   const float* from, float* to) {
  constexpr int64_t kTaskFloats = 1 << 14;
  constexpr int64_t kFewRows = 32, kPanel = 128;
  const int64_t rows = s.batch * s.to_h;
  const int64_t panel = rows < kFewRows ? kPanel : s.channels;
  const int64_t panels = (s.channels + panel - 1) / panel;
  const int64_t work = (s.to_w + s.from_h * s.from_w / s.to_h) * panel;
  const int64_t band = work < kTaskFloats ? kTaskFloats / work : 1;
  parallel_ranges(rows * panels, band, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t row = item / panels;
      const int64_t c = item % panels * panel;
      const int64_t width = c + panel < s.channels ? panel : s.channels - c;
      const Reach& reach = vertical.reaches[row % s.to_h];
      const int64_t from_row = row / s.to_h * s.from_h + (reach.count > 0 ? reach.first : 0);
      for (int64_t j = 0; j < s.to_w; ++j) {
        const Reach& columns = horizontal.reaches[j];
        const int64_t column = columns.count > 0 ? columns.first : 0;
        const float* p = from + (from_row * s.from_w + column) * s.channels + c;
        float* q = to + (row * s.to_w + j) * s.channels + c;
        if (reach.count == 2 && columns.count == 2) {
          separable_pixel<kWeights, 2>(s, vertical, horizontal, reach, columns, width, p, q);
        } else {
          separable_pixel<kWeights, 0>(s, vertical, horizontal, reach, columns, width, p, q);
        }
      }
    }
  });
}

}  // namespace
}  // namespace convsmith::cpu::CONVSMITH_ISA
