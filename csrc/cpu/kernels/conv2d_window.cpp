#include "cpu/kernels/conv2d_window.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// What a tap in the padding reads: as long as the longest depth block.
alignas(64) const float kZeros[kDepthBlock] = {};

// Position of row m on the grid.
struct GridPosition {
  int64_t n, r, c;
};

GridPosition grid_position(const Window& w, int64_t m) {
  return {m / (w.grid_h * w.grid_w), m / w.grid_w % w.grid_h, m % w.grid_w};
}

// Calls body(first, count, position) for each stretch of rows that lies on one grid line.
template <class Body>
CONVSMITH_INLINE void for_each_stretch(const Window& w, int64_t m0, int64_t count, Body&& body) {
  GridPosition p = grid_position(w, m0);
  for (int64_t i = 0; i < count;) {
    const int64_t stretch = minimum(count - i, w.grid_w - p.c);
    body(i, stretch, p);
    i += stretch;
    p.c = 0;
    if (++p.r == w.grid_h) p.r = 0, ++p.n;
  }
}

CONVSMITH_INLINE void copy_run(const float* from, float* to, int64_t length) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(to + i, load(from + i));
  if (i < length) store_first(to + i, load_first(from + i, length - i), length - i);
}

CONVSMITH_INLINE void zero_run(float* to, int64_t length) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(to + i, Vec{});
  if (i < length) store_first(to + i, Vec{}, length - i);
}

}  // namespace

void point_at_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                     const float** rows, int64_t row_stride, float*) {
  const Window& w = *static_cast<const Window*>(context);
  for_each_stretch(w, m0, count, [&](int64_t i, int64_t stretch, const GridPosition& p) {
    for (int64_t t = 0; t < block.taps; ++t) {
      const float** to = rows + t * row_stride + i;
      const int64_t y = p.r * w.step_h + w.tap_h[block.tap + t];
      const int64_t x0 = p.c * w.step_w + w.tap_w[block.tap + t];
      if (y < 0 || y >= w.image_h) {
        for (int64_t j = 0; j < stretch; ++j) to[j] = kZeros;
        continue;
      }
      const float* line =
          w.image + ((p.n * w.image_h + y) * w.image_w) * w.pixel_stride + block.offset;
      for (int64_t j = 0, x = x0; j < stretch; ++j, x += w.step_w) {
        to[j] = x >= 0 && x < w.image_w ? line + x * w.pixel_stride : kZeros;
      }
    }
  });
}

void point_at_window_outputs(const void* context, int64_t m0, int64_t count, float** outputs) {
  const Window& w = *static_cast<const Window*>(context);
  for_each_stretch(w, m0, count, [&](int64_t i, int64_t stretch, const GridPosition& p) {
    const int64_t y = w.first_h + p.r * w.output_step_h;
    float* line = w.output + ((p.n * w.output_h + y) * w.output_w) * w.output_stride;
    for (int64_t j = 0; j < stretch; ++j) {
      outputs[i + j] = line + (w.first_w + (p.c + j) * w.output_step_w) * w.output_stride;
    }
  });
}

void gather_runs(const WindowRuns& runs, int64_t m0, int64_t count, int64_t begin, int64_t end,
                 float* to, int64_t to_stride) {
  const Window& w = runs.window;
  const int64_t length = runs.taps_per_run * runs.channels;
  for (int64_t run = begin / length; run * length < end; ++run) {
    // The wanted part of this run, and the image columns that it covers.
    const int64_t from = maximum(begin - run * length, 0);
    const int64_t until = minimum(end - run * length, length);
    const int64_t first_tap = from / runs.channels, last_tap = (until - 1) / runs.channels;
    float* const target = to + run * length - begin;
    for_each_stretch(w, m0, count, [&](int64_t i, int64_t stretch, const GridPosition& p) {
      const int64_t y = p.r * w.step_h + w.tap_h[run];
      if (y < 0 || y >= w.image_h) {
        for (int64_t j = i; j < i + stretch; ++j)
          zero_run(target + j * to_stride + from, until - from);
        return;
      }
      const float* line = w.image + (p.n * w.image_h + y) * w.image_w * w.pixel_stride;
      int64_t x = p.c * w.step_w + w.tap_w[run];
      for (int64_t j = i; j < i + stretch; ++j, x += w.step_w) {
        const float* pixel = line + x * w.pixel_stride;
        float* row = target + j * to_stride;
        if (x + first_tap >= 0 && x + last_tap < w.image_w) {
          copy_run(pixel + from, row + from, until - from);
          continue;
        }
        // The edge of the image cuts the run.
        const int64_t left = minimum(maximum(-x, 0), runs.taps_per_run) * runs.channels;
        const int64_t right = maximum(minimum(w.image_w - x, runs.taps_per_run), 0) * runs.channels;
        const int64_t low = minimum(maximum(left, from), until);
        const int64_t high = maximum(minimum(right, until), low);
        zero_run(row + from, low - from);
        copy_run(pixel + low, row + low, high - low);
        zero_run(row + high, until - high);
      }
    });
  }
}

void gather_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                   const float** rows, int64_t, float* scratch) {
  const int64_t stride = gathered_stride(block.depth);
  gather_runs(*static_cast<const WindowRuns*>(context), m0, count, block.offset,
              block.offset + block.depth, scratch, stride);
  for (int64_t i = 0; i < count; ++i) rows[i] = scratch + i * stride;
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
