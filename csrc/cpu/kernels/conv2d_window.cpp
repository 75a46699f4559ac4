#include "cpu/kernels/conv2d_window.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// What a tap in the padding reads: as long as the longest depth block.
alignas(64) const float kZeros[kDepthBlock] = {};

int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t maximum_of(int64_t a, int64_t b) { return a > b ? a : b; }

// Copies `length` floats; may write up to the next multiple of kLanes.
CONVSMITH_INLINE void copy_run(const float* from, float* to, int64_t length) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) store(to + i, load(from + i));
  if (i < length) store(to + i, load_first(from + i, length - i));
}

CONVSMITH_INLINE void zero_run(float* to, int64_t length) {
  for (int64_t i = 0; i < length; i += kLanes) store(to + i, Vec{});
}

}  // namespace

void point_at_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                     const float** rows, int64_t row_stride, float*) {
  const Window& w = *static_cast<const Window*>(context);
  GridPosition p = grid_position(w, m0);
  for (int64_t i = 0; i < count;) {
    // A stretch of rows on one grid line: only the column moves.
    const int64_t stretch = minimum(count - i, w.grid_w - p.c);
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
    i += stretch;
    p.c += stretch;
    if (p.c == w.grid_w) {
      p.c = 0;
      if (++p.r == w.grid_h) p.r = 0, ++p.n;
    }
  }
}

void point_at_window_outputs(const void* context, int64_t m0, int64_t count, float** outputs) {
  const Window& w = *static_cast<const Window*>(context);
  GridPosition p = grid_position(w, m0);
  for (int64_t i = 0; i < count; ++i, advance(w, p)) {
    const int64_t y = w.first_h + p.r * w.output_step_h, x = w.first_w + p.c * w.output_step_w;
    outputs[i] = w.output + ((p.n * w.output_h + y) * w.output_w + x) * w.output_stride;
  }
}

void gather_runs(const WindowRuns& runs, int64_t n, int64_t r, int64_t c, int64_t begin,
                 int64_t end, float* to) {
  const Window& w = runs.window;
  const int64_t length = runs.taps_per_run * runs.channels;
  for (int64_t run = begin / length; run * length < end; ++run) {
    const int64_t from = maximum_of(begin - run * length, 0), until = minimum(end - run * length, length);
    const int64_t y = r * w.step_h + w.tap_h[run], x = c * w.step_w + w.tap_w[run];
    // The part of the run that lies inside the image.
    const int64_t left = x < 0 ? minimum(-x, runs.taps_per_run) : 0;
    const int64_t right = minimum(runs.taps_per_run, w.image_w - x);
    const bool inside = y >= 0 && y < w.image_h && left < right;
    const int64_t low = inside ? minimum(maximum_of(left * runs.channels, from), until) : until;
    const int64_t high = inside ? maximum_of(minimum(right * runs.channels, until), low) : until;
    const float* line = w.image + ((n * w.image_h + y) * w.image_w + x) * w.pixel_stride;
    float* target = to + run * length - begin;
    if (low > from) zero_run(target + from, low - from);
    if (high > low) copy_run(line + low, target + low, high - low);
    if (until > high) zero_run(target + high, until - high);
  }
}

void gather_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                   const float** rows, int64_t, float* scratch) {
  const WindowRuns& runs = *static_cast<const WindowRuns*>(context);
  const int64_t stride = gathered_stride(block.depth);
  GridPosition p = grid_position(runs.window, m0);
  for (int64_t i = 0; i < count; ++i, advance(runs.window, p)) {
    float* row = scratch + i * stride;
    gather_runs(runs, p.n, p.r, p.c, block.offset, block.offset + block.depth, row);
    rows[i] = row;
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
