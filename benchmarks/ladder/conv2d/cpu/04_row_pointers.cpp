// Against 03: the matrix is never written. A register tile takes, tap by tap, six pointers: where
// the window of each of its six pixels lies in the image, or zeros where it hangs over the edge.
//
// A tap's channels lie together in an NHWC image, so behind a pointer the tile's loop is that of
// the GEMM. The pointers cost 8 bytes a tap and pixel, the matrix cost 4 bytes a channel of them.
// Dukhan: The Indirect Convolution Algorithm, 2019.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;
using convsmith::Conv2dShape;

namespace {

// [panel][tap][ic][kColumns], zeros beyond the last output channel.
void pack(int64_t out_channels, int64_t depth, const float* weight, float* packed) {
  for (int64_t j = 0; j < out_channels; j += kColumns) {
    for (int64_t l = 0; l < depth; ++l, packed += kColumns) {
      for (int64_t i = 0; i < kColumns; ++i) {
        packed[i] = j + i < out_channels ? weight[(j + i) * depth + l] : 0.0f;
      }
    }
  }
}

// Where tap (kh, kw) of output pixel m reads.
const float* window(const Conv2dShape& s, const float* x, const float* zeros, int64_t m, int64_t kh,
                    int64_t kw) {
  const int64_t n = m / (s.out_h * s.out_w), oh = m / s.out_w % s.out_h, ow = m % s.out_w;
  const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
  const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
  const bool inside = ih >= 0 && ih < s.in_h && iw >= 0 && iw < s.in_w;
  return inside ? x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c : zeros;
}

// rows[tap * kRows + i]
void multiply_tile(const float* const* rows, int64_t taps, int64_t channels, const float* panel,
                   int64_t count, int64_t columns, int64_t stride, float* y) {
  Vec sums[kRows][kVectors] = {};
  for (int64_t tap = 0; tap < taps; ++tap) {
    const float* row[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      row[i] = rows[tap * kRows + i];
      asm("" : "+r"(row[i]));  // or the compiler works the addresses out anew in every step
    }
    for (int64_t ic = 0; ic < channels; ++ic, panel += kColumns) {
      Vec filter[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) filter[v] = load(panel + v * kLanes);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const Vec factor = broadcast(row[i][ic]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sums[i][v] += factor * filter[v];
      }
    }
  }
  for (int i = 0; i < count; ++i) {
    for (int v = 0; v < kVectors && v * kLanes < columns; ++v) {
      store_first(y + i * stride + v * kLanes, sums[i][v], minimum(kLanes, columns - v * kLanes));
    }
  }
}

}  // namespace

CONVSMITH_RUNG conv2d_04_row_pointers(const Conv2dShape* shape, const float* x, const float* weight,
                                      float* y) {
  const Conv2dShape& s = *shape;
  const int64_t taps = s.kernel_h * s.kernel_w, depth = taps * s.in_c;
  const int64_t pixels = s.batch * s.out_h * s.out_w;
  const Buffer packed(round_up(s.out_c, kColumns) * depth), zeros(s.in_c);
  const Buffer memory(2 * taps * kRows);
  const float** rows = reinterpret_cast<const float**>(memory.data());
  pack(s.out_c, depth, weight, packed.data());
  for (int64_t ic = 0; ic < s.in_c; ++ic) zeros.data()[ic] = 0.0f;
  for (int64_t m = 0; m < pixels; m += kRows) {
    const int64_t count = minimum(kRows, pixels - m);
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (int64_t i = 0; i < kRows; ++i) {
        rows[tap * kRows + i] = window(s, x, zeros.data(), m + minimum(i, count - 1),
                                       tap / s.kernel_w, tap % s.kernel_w);
      }
    }
    for (int64_t j = 0; j < s.out_c; j += kColumns) {
      multiply_tile(rows, taps, s.in_c, packed.data() + j * depth, count,
                    minimum(kColumns, s.out_c - j), s.out_c, y + m * s.out_c + j);
    }
  }
}
