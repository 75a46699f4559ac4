// The operands of C[m, n] = sum_k A[m, k] B[k, n] as sources of elements.
//
// A line is a row of A or a column of B; depth is k. A source is a small struct, copied into the
// kernel's parameters, that tells where element (line, depth) lies. It keeps what depends on the
// line in a Line and what depends on the depth in a Depth, which a thread advances by the depth of
// a tile; offset() adds the two and says whether the element exists (else it counts as zero).
//
//   kDepthContiguous   neighbours in depth are neighbours in memory (else neighbouring lines are)
//   packs of V         may be read at once if V divides the contiguous extent of the source; then
//                      V neighbours exist or miss together
#pragma once

#include "cuda/index_math.cuh"

namespace convsmith::cuda {

// A stored matrix, as it is or transposed.
template <class T, bool kDepthContiguous_>
struct MatrixSource {
  using Element = T;
  static constexpr bool kDepthContiguous = kDepthContiguous_;
  const T* data;
  int64_t group_stride, lines, depth_size;
  int64_t stride;  // between lines if depth is contiguous, else between depths
  int32_t step;

  struct Line {
    int64_t offset;
    bool exists;
  };
  using Depth = int64_t;

  __host__ void set_step(int depth_of_tile) { step = depth_of_tile; }
  CONVSMITH_DEVICE Line line(int64_t index) const {
    return {kDepthContiguous ? index * stride : index, index < lines};
  }
  CONVSMITH_DEVICE Depth depth(int64_t k) const { return k; }
  CONVSMITH_DEVICE void advance(Depth& depth) const { depth += step; }
  CONVSMITH_DEVICE int64_t offset(const Line& line, const Depth& depth, bool& exists) const {
    exists = line.exists && depth < depth_size;
    return line.offset + (kDepthContiguous ? depth : depth * stride);
  }
};

// Lines are pixels, depth is (tap, channel): A of forward and of backward_input.
template <class T>
struct WindowByPixel {
  using Element = T;
  static constexpr bool kDepthContiguous = true;
  const T* data;
  int64_t group_stride;
  Window window;
  Digits step;

  using Line = WindowPixel;
  using Depth = Digits;

  __host__ void set_step(int depth_of_tile) { step = to_digits(depth_of_tile, window.taps); }
  CONVSMITH_DEVICE Line line(int64_t index) const {
    return window_pixel(window, to_digits(index, window.grid));
  }
  CONVSMITH_DEVICE Depth depth(int64_t k) const { return to_digits(k, window.taps); }
  CONVSMITH_DEVICE void advance(Depth& depth) const { depth = advanced(depth, step, window.taps); }
  CONVSMITH_DEVICE int64_t offset(const Line& line, const Depth& depth, bool& exists) const {
    const WindowTap tap = window_tap(window, depth);
    exists = inside_image(window, line, tap);
    return line.offset + tap.offset;
  }
};

// Lines are (tap, channel), depth is pixels: B of backward_weight.
template <class T>
struct WindowByTap {
  using Element = T;
  static constexpr bool kDepthContiguous = false;
  const T* data;
  int64_t group_stride;
  Window window;
  Digits step;

  using Line = WindowTap;
  using Depth = Digits;

  __host__ void set_step(int depth_of_tile) { step = to_digits(depth_of_tile, window.grid); }
  CONVSMITH_DEVICE Line line(int64_t index) const {
    return window_tap(window, to_digits(index, window.taps));
  }
  CONVSMITH_DEVICE Depth depth(int64_t k) const { return to_digits(k, window.grid); }
  CONVSMITH_DEVICE void advance(Depth& depth) const { depth = advanced(depth, step, window.grid); }
  CONVSMITH_DEVICE int64_t offset(const Line& line, const Depth& depth, bool& exists) const {
    const WindowPixel pixel = window_pixel(window, depth);
    exists = inside_image(window, pixel, line);
    return line.offset + pixel.offset;
  }
};

// Lines are input channels, depth is (tap of the phase, output channel): B of backward_input.
template <class T>
struct WeightByChannel {
  using Element = T;
  static constexpr bool kDepthContiguous = false;
  const T* data;  // the phase's first tap
  int64_t group_stride, lines;
  uint32_t taps_h;
  Radix taps;  // (taps of the phase along w, output channels of the group)
  int64_t stride_h, stride_w, stride_c;  // elements between taps of the phase, output channels
  Digits step;

  struct Line {
    int64_t offset;
    bool exists;
  };
  using Depth = Digits;

  __host__ void set_step(int depth_of_tile) { step = to_digits(depth_of_tile, taps); }
  CONVSMITH_DEVICE Line line(int64_t index) const { return {index, index < lines}; }
  CONVSMITH_DEVICE Depth depth(int64_t k) const { return to_digits(k, taps); }
  CONVSMITH_DEVICE void advance(Depth& depth) const { depth = advanced(depth, step, taps); }
  CONVSMITH_DEVICE int64_t offset(const Line& line, const Depth& depth, bool& exists) const {
    exists = line.exists && depth.high < taps_h;
    return line.offset + depth.high * stride_h + depth.mid * stride_w + depth.low * stride_c;
  }
};

}  // namespace convsmith::cuda
