// Maximum pooling, NHWC: y[n, oh, ow, c] = max over (kh, kw) of
// x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c].
//
// Bound by memory: channels are the vector, a task is a band of output rows, and the argmax is one
// byte an output (the index inside the window) where the window has at most 255 elements. Every
// window is clipped to the input first, so that the loops over taps meet no condition; the windows
// of 2x2 and 3x3 that lie inside the input are unrolled.
//
// The backward is a gather: each input pixel asks the windows that cover it whether it won. No
// atomics, no zeroing pass, every dx is written once, and the order of additions is fixed.
#include "cpu/arena.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_lanes.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr float kMinusInfinity = -__builtin_inff();
constexpr int64_t kTaskFloats = 1 << 15;  // of the array that a task writes and reads most of

template <class Index>
constexpr Index kNoWinner = static_cast<Index>(-1);  // 255 or -1

// Rows (or columns) of a window inside the input: taps [first, end).
struct Taps {
  int64_t first, end;
};

CONVSMITH_INLINE Taps clip(int64_t start, int64_t kernel, int64_t dilation, int64_t size) {
  if (start >= 0 && start + (kernel - 1) * dilation < size) return {0, kernel};
  const int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
  const int64_t end = start >= size ? 0 : (size - 1 - start) / dilation + 1;
  return {first, end < kernel ? end : kernel};
}

// A later element wins only if it is larger, or the first NaN.
CONVSMITH_INLINE IntVec wins(Vec seen, Vec best) { return ~(seen <= best) & (best == best); }

// One pixel, all channels; p points at the first of the taps rows x columns, all inside the input.
// kSize > 0 promises a whole window of kSize x kSize.
template <class Index, bool kArgmax, int kSize>
CONVSMITH_INLINE void pool_pixel(int64_t channels, const float* p, int64_t row_step,
                                 int64_t column_step, int64_t kernel_w, Taps rows, Taps columns,
                                 float* y, Index* argmax) {
  for_vectors(channels, [&](int64_t c, auto lanes) {
    if constexpr (kSize > 0) {
      Vec best = lanes.load(p + c);
      IntVec winner = {};
#pragma GCC unroll 9
      for (int tap = 1; tap < kSize * kSize; ++tap) {
        const Vec seen = lanes.load(p + (tap / kSize) * row_step + (tap % kSize) * column_step + c);
        const IntVec better = wins(seen, best);
        if constexpr (kArgmax) winner = better ? IntVec{} + tap : winner;
        best = better ? seen : best;
      }
      lanes.store(y + c, best);
      if constexpr (kArgmax) lanes.store_index(argmax + c, winner);
    } else {
      Vec best = lanes.load(p + c);
      IntVec winner = IntVec{} + static_cast<int32_t>(rows.first * kernel_w + columns.first);
      for (int64_t kh = rows.first; kh < rows.end; ++kh) {
        for (int64_t kw = columns.first; kw < columns.end; ++kw) {
          const Vec seen =
              lanes.load(p + (kh - rows.first) * row_step + (kw - columns.first) * column_step + c);
          const IntVec better = wins(seen, best);
          if constexpr (kArgmax) {
            winner = better ? IntVec{} + static_cast<int32_t>(kh * kernel_w + kw) : winner;
          }
          best = better ? seen : best;
        }
      }
      lanes.store(y + c, best);
      if constexpr (kArgmax) lanes.store_index(argmax + c, winner);
    }
  });
}

template <class Index, bool kArgmax, int kSize>
void pool_row(const Pool2dShape& s, int64_t row, const float* x, float* y, Index* argmax) {
  const int64_t top = row % s.out_h * s.stride_h - s.pad_top;
  const Taps rows = clip(top, s.kernel_h, s.dilation_h, s.in_h);
  const int64_t row_step = s.dilation_h * s.in_w * s.channels;
  const int64_t column_step = s.dilation_w * s.channels;
  const int64_t origin = (row / s.out_h * s.in_h + top) * s.in_w * s.channels;
  const bool whole_rows = rows.first == 0 && rows.end == s.kernel_h;
  for (int64_t ow = 0; ow < s.out_w; ++ow) {
    const int64_t left = ow * s.stride_w - s.pad_left;
    const Taps columns = clip(left, s.kernel_w, s.dilation_w, s.in_w);
    const int64_t out = (row * s.out_w + ow) * s.channels;
    float* to = y + out;
    Index* index = kArgmax ? argmax + out : nullptr;
    if (rows.first >= rows.end || columns.first >= columns.end) {
      for (int64_t c = 0; c < s.channels; ++c) {
        to[c] = kMinusInfinity;
        if constexpr (kArgmax) index[c] = kNoWinner<Index>;
      }
      continue;
    }
    // Added up as an offset: the window's corner may lie before the array, this tap does not.
    const int64_t inside = rows.first * row_step + columns.first * column_step;
    const float* p = x + (origin + left * s.channels + inside);
    if (kSize > 0 && whole_rows && columns.first == 0 && columns.end == s.kernel_w) {
      pool_pixel<Index, kArgmax, kSize>(s.channels, p, row_step, column_step, s.kernel_w, rows,
                                        columns, to, index);
    } else {
      pool_pixel<Index, kArgmax, 0>(s.channels, p, row_step, column_step, s.kernel_w, rows, columns,
                                    to, index);
    }
  }
}

template <class Index, bool kArgmax, int kSize>
void forward_sized(const Pool2dShape& s, const float* x, float* y, Index* argmax) {
  // Floats that an output row reads, roughly.
  const int64_t row_floats = s.in_w * s.channels * (s.stride_h < s.in_h ? s.stride_h : s.in_h);
  const int64_t band = row_floats < kTaskFloats ? kTaskFloats / row_floats : 1;
  parallel_ranges(s.batch * s.out_h, band, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      pool_row<Index, kArgmax, kSize>(s, row, x, y, argmax);
    }
  });
}

template <class Index, bool kArgmax>
void forward(const Pool2dShape& s, const float* x, float* y, Index* argmax) {
  if (s.kernel_h == 2 && s.kernel_w == 2) {
    forward_sized<Index, kArgmax, 2>(s, x, y, argmax);
  } else if (s.kernel_h == 3 && s.kernel_w == 3) {
    forward_sized<Index, kArgmax, 3>(s, x, y, argmax);
  } else {
    forward_sized<Index, kArgmax, 0>(s, x, y, argmax);
  }
}

// The windows that cover one input row (or column): outputs first_out, first_out + step, ..., and
// the tap that each sees it through: first_tap, first_tap - tap_step, ...
struct Cover {
  int32_t first_out, first_tap, count;
};
struct Axis {
  const Cover* covers;  // [size]
  int64_t step, tap_step;
};

int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

Axis cover_axis(int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t dilation,
                int64_t pad, Cover* covers) {
  for (int64_t i = 0; i < size; ++i) covers[i] = {0, 0, 0};
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = o * stride - pad;
    const Taps taps = clip(start, kernel, dilation, size);
    for (int64_t tap = taps.first; tap < taps.end; ++tap) {
      Cover& cover = covers[start + tap * dilation];
      if (cover.count == 0) {
        cover.first_out = static_cast<int32_t>(o);
        cover.first_tap = static_cast<int32_t>(tap);
      }
      ++cover.count;
    }
  }
  const int64_t common = greatest_common_divisor(stride, dilation);
  return {covers, dilation / common, stride / common};
}

// dx of one pixel: the sum of dy over the windows (rows x columns) that it won. `out` is the
// offset of the first window.
template <class Index>
CONVSMITH_INLINE void gather_pixel(const Pool2dShape& s, const Axis& vertical,
                                   const Axis& horizontal, Cover rows, Cover columns, int64_t out,
                                   const float* dy, const Index* argmax, float* dx) {
  const int64_t row_step = vertical.step * s.out_w * s.channels;
  const int64_t column_step = horizontal.step * s.channels;
  for_vectors(s.channels, [&](int64_t c, auto lanes) {
    Vec sum = {};
    for (int64_t i = 0; i < rows.count; ++i) {
      const int64_t first_tap =
          (rows.first_tap - i * vertical.tap_step) * s.kernel_w + columns.first_tap;
      for (int64_t j = 0; j < columns.count; ++j) {
        const int64_t at = out + i * row_step + j * column_step + c;
        const IntVec won = lanes.load_index(argmax + at) ==
                           static_cast<int32_t>(first_tap - j * horizontal.tap_step);
        sum += won ? lanes.load(dy + at) : Vec{};
      }
    }
    lanes.store(dx + c, sum);
  });
}

template <class Index>
void backward(const Pool2dShape& s, const float* dy, const Index* argmax, float* dx) {
  Workspace workspace(static_cast<size_t>(s.in_h + s.in_w) * sizeof(Cover));
  Cover* const row_covers = static_cast<Cover*>(workspace.data);
  Cover* const column_covers = row_covers + s.in_h;
  const Axis vertical =
      cover_axis(s.in_h, s.out_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top, row_covers);
  const Axis horizontal =
      cover_axis(s.in_w, s.out_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left, column_covers);
  const int64_t row_floats = s.in_w * s.channels;
  const int64_t band = row_floats < kTaskFloats ? kTaskFloats / row_floats : 1;
  parallel_ranges(s.batch * s.in_h, band, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Cover rows = row_covers[row % s.in_h];
      const int64_t out_row = row / s.in_h * s.out_h + rows.first_out;
      for (int64_t iw = 0; iw < s.in_w; ++iw) {
        const Cover columns = column_covers[iw];
        gather_pixel(s, vertical, horizontal, rows, columns,
                     (out_row * s.out_w + columns.first_out) * s.channels, dy, argmax,
                     dx + (row * s.in_w + iw) * s.channels);
      }
    }
  });
}

}  // namespace

void max_pool2d_forward(const Pool2dShape& shape, const float* x, float* y, uint8_t* argmax) {
  if (argmax == nullptr) {
    forward<uint8_t, false>(shape, x, y, argmax);
  } else {
    forward<uint8_t, true>(shape, x, y, argmax);
  }
}

void max_pool2d_forward(const Pool2dShape& shape, const float* x, float* y, int32_t* argmax) {
  if (argmax == nullptr) {
    forward<int32_t, false>(shape, x, y, argmax);
  } else {
    forward<int32_t, true>(shape, x, y, argmax);
  }
}

void max_pool2d_backward_input(const Pool2dShape& shape, const float* dy, const uint8_t* argmax,
                               float* dx) {
  backward(shape, dy, argmax, dx);
}

void max_pool2d_backward_input(const Pool2dShape& shape, const float* dy, const int32_t* argmax,
                               float* dx) {
  backward(shape, dy, argmax, dx);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
