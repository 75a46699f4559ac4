// Where the elements of a convolution's implicit matrices lie: plain integer arithmetic, usable on
// the host, where tests/cuda/test_index_math.py runs through it exhaustively.
//
// Forward and backward_input are one sum over an image seen through a window:
//
//   C[(n, r, c), :] = sum_{a, b} image[n, r * step_h + first_h + a * tap_step_h,
//                                         c * step_w + first_w + b * tap_step_w, :] * B[a, b]
//
// forward: image = x, step = stride, first = -pad, tap_step = dilation. backward_input takes the
// pixels of one stride phase at a time: image = dy, step = 1, and of the taps only those that meet
// the phase, which lie in arithmetic progression. backward_weight reads the same window of x.
#pragma once

#include <cstdint>

#include "cuda/device.cuh"

namespace convsmith::cuda {

CONVSMITH_HOST_DEVICE constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
CONVSMITH_HOST_DEVICE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A count written with two radices: (high * mid_radix + mid) * low_radix + low. Threads walk along
// the depth of a GEMM by adding digits, because a division per load would cost more than the load.
struct Radix {
  int32_t mid, low;
};
struct Digits {
  uint32_t high;
  int32_t mid, low;
};

CONVSMITH_HOST_DEVICE constexpr Digits to_digits(int64_t value, Radix radix) {
  const int64_t rest = value / radix.low;
  return {static_cast<uint32_t>(rest / radix.mid), static_cast<int32_t>(rest % radix.mid),
          static_cast<int32_t>(value % radix.low)};
}

// digits + step, without a division and without leaving 32 bits.
CONVSMITH_HOST_DEVICE constexpr Digits advanced(Digits digits, Digits step, Radix radix) {
  int32_t low = digits.low - (radix.low - step.low);
  const int32_t carry_low = low >= 0 ? 1 : 0;
  low += carry_low ? 0 : radix.low;
  int32_t mid = digits.mid - (radix.mid - step.mid) + carry_low;
  const uint32_t carry_mid = mid >= 0 ? 1 : 0;
  mid += carry_mid ? 0 : radix.mid;
  return {digits.high + step.high + carry_mid, mid, low};
}

struct Window {
  int64_t pixel_stride;  // elements from a pixel of the image to its right neighbour
  int32_t image_h, image_w;
  uint32_t batch;
  Radix grid;  // rows of C: (n, r, c) with r < grid.mid, c < grid.low
  int32_t step_h, step_w, first_h, first_w;
  uint32_t taps_h;
  Radix taps;  // depth: (a, b, channel) with a < taps_h, b < taps.mid, channel < taps.low
  int32_t tap_step_h, tap_step_w;
};

// A pixel or a tap outside the problem carries this coordinate, one in y and the other in x, so
// that no sum falls inside an image, not even that of an outside pixel and an outside tap.
constexpr int32_t kOutside = INT32_MIN;

// The window of one pixel before any tap is added; offset counts elements and may be negative.
struct WindowPixel {
  int64_t offset;
  int32_t y, x;
};
struct WindowTap {
  int64_t offset;
  int32_t y, x;
};

CONVSMITH_HOST_DEVICE constexpr WindowPixel window_pixel(const Window& w, Digits pixel) {
  if (pixel.high >= w.batch) return {0, kOutside, 0};
  const int32_t y = pixel.mid * w.step_h + w.first_h;
  const int32_t x = pixel.low * w.step_w + w.first_w;
  const int64_t line = static_cast<int64_t>(pixel.high) * w.image_h + y;
  return {(line * w.image_w + x) * w.pixel_stride, y, x};
}

CONVSMITH_HOST_DEVICE constexpr WindowTap window_tap(const Window& w, Digits tap) {
  if (tap.high >= w.taps_h) return {0, 0, kOutside};
  const int32_t y = static_cast<int32_t>(tap.high) * w.tap_step_h;
  const int32_t x = tap.mid * w.tap_step_w;
  return {(static_cast<int64_t>(y) * w.image_w + x) * w.pixel_stride + tap.low, y, x};
}

// Unsigned, so that one comparison covers both ends and the addition may wrap.
CONVSMITH_HOST_DEVICE constexpr bool inside_image(const Window& w, WindowPixel pixel,
                                                  WindowTap tap) {
  const uint32_t y = static_cast<uint32_t>(pixel.y) + static_cast<uint32_t>(tap.y);
  const uint32_t x = static_cast<uint32_t>(pixel.x) + static_cast<uint32_t>(tap.x);
  return y < static_cast<uint32_t>(w.image_h) && x < static_cast<uint32_t>(w.image_w);
}

// One axis of a stride phase of backward_input: the pixels first_pixel + i * stride of dx meet the
// taps first_tap + j * tap_stride, and there read row i + first_offset - j * offset_step of dy.
struct AxisPhase {
  int64_t pixels, taps;
  int64_t first_pixel, first_tap, tap_stride, first_offset, offset_step;
};

CONVSMITH_HOST_DEVICE constexpr int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

// Taps k and k + period serve the same phase, so tap k < tapped_phases() stands for a phase.
CONVSMITH_HOST_DEVICE constexpr int64_t tapped_phases(int64_t kernel, int64_t stride,
                                                      int64_t dilation) {
  return smaller(kernel, stride / greatest_common_divisor(stride, dilation));
}

CONVSMITH_HOST_DEVICE constexpr AxisPhase axis_phase(int64_t first_tap, int64_t in, int64_t kernel,
                                                     int64_t stride, int64_t dilation,
                                                     int64_t pad) {
  const int64_t divisor = greatest_common_divisor(stride, dilation);
  const int64_t phase = first_tap * dilation % stride;
  const int64_t first_pixel = ((phase - pad) % stride + stride) % stride;
  AxisPhase result{};
  result.first_pixel = first_pixel;
  result.pixels = first_pixel < in ? divide_up(in - first_pixel, stride) : 0;
  result.first_tap = first_tap;
  result.tap_stride = stride / divisor;
  result.taps = divide_up(kernel - first_tap, result.tap_stride);
  result.first_offset = (first_pixel + pad - first_tap * dilation) / stride;
  result.offset_step = dilation / divisor;
  return result;
}

// Rows of C that are not rows in memory: the pixels of a stride phase, scattered over dx.
struct ScatteredRows {
  Radix grid;  // (n, r, c); grid.low = 0: rows lie one after another
  int32_t image_h, image_w, first_h, first_w, step_h, step_w;
};

// The position of row m, counted in pixels.
CONVSMITH_HOST_DEVICE constexpr int64_t row_position(const ScatteredRows& rows, int64_t m) {
  if (rows.grid.low == 0) return m;
  const Digits d = to_digits(m, rows.grid);
  const int64_t y = rows.first_h + static_cast<int64_t>(d.mid) * rows.step_h;
  const int64_t x = rows.first_w + static_cast<int64_t>(d.low) * rows.step_w;
  return (static_cast<int64_t>(d.high) * rows.image_h + y) * rows.image_w + x;
}

// The order in which blocks take tiles: in bands of eight tile rows, column by column, so that the
// blocks that run together share the operands they read from L2.
struct TilePosition {
  int64_t row, column;
};
constexpr int64_t kBandRows = 8;

CONVSMITH_HOST_DEVICE constexpr TilePosition tile_position(int64_t index, int64_t tile_rows,
                                                           int64_t tile_columns) {
  const int64_t band = index / (kBandRows * tile_columns);
  const int64_t rows = smaller(kBandRows, tile_rows - band * kBandRows);
  const int64_t rest = index - band * kBandRows * tile_columns;
  return {band * kBandRows + rest % rows, rest / rows};
}

// Shared-memory rows of kChunks 16-byte chunks. The eight chunks that one matrix load takes from
// eight neighbouring rows must lie in different banks: each row XORs its chunk numbers with its own
// number, counted in units of 128 bytes (all 32 banks).
template <int kChunks>
CONVSMITH_HOST_DEVICE constexpr int swizzled_chunk(int row, int chunk) {
  static_assert(kChunks > 0 && (kChunks & (kChunks - 1)) == 0, "XOR needs a power of two");
  constexpr int kRowsPerLine = kChunks >= 8 ? 1 : 8 / kChunks;
  constexpr int kMask = kChunks >= 8 ? 7 : kChunks - 1;
  return chunk ^ ((row / kRowsPerLine) & kMask);
}

// The same for rows that are read float by float, four neighbouring rows at a time, eight floats
// (an even chunk and the next) from each.
CONVSMITH_HOST_DEVICE constexpr int paired_chunk(int row, int chunk) {
  return chunk ^ ((row & 3) << 1);
}

}  // namespace convsmith::cuda
