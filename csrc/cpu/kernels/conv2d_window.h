// Where the rows of a convolution's implicit matrix lie.
//
// Forward and backward_input are the same sum over an image seen through a window:
//
//   C[(n, r, c), :] = sum_t image[n, r * step_h + tap_h[t], c * step_w + tap_w[t], :] * B_t
//
// forward: image = x, step = stride, tap = k * dilation - padding. backward_input takes the pixels
// of one stride phase at a time: image = dy, step = 1, only the taps that meet that phase.
#pragma once

#include "cpu/kernels/implicit_gemm.h"

namespace convsmith::cpu::CONVSMITH_ISA {

struct Window {
  const float* image;  // first channel of the group
  int64_t image_h, image_w, pixel_stride;
  int64_t grid_h, grid_w, step_h, step_w;  // rows of C, image by image
  const int64_t *tap_h, *tap_w;
  // Rows of C in the output image.
  float* output;
  int64_t output_h, output_w, output_stride;
  int64_t first_h, first_w, output_step_h, output_step_w;
};

// Points at image pixels, or at zeros where a tap falls into the padding. context: a Window.
void point_at_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                     const float** rows, int64_t row_stride, float* scratch);
void point_at_window_outputs(const void* context, int64_t m0, int64_t count, float** outputs);

// The elements of the window as runs that are contiguous in the image: with dilation 1 and one
// group a filter row is one run of kernel_w * channels, else every tap is a run of `channels`.
struct WindowRuns {
  Window window;  // taps: the first of each run
  int64_t runs, taps_per_run, channels;
};
// Copies elements [begin, end) of the flattened (run, element) axis, for `count` rows from m0 on,
// to to[i * to_stride]; zeros in the padding.
void gather_runs(const WindowRuns& runs, int64_t m0, int64_t count, int64_t begin, int64_t end,
                 float* to, int64_t to_stride);
// For few channels: the whole window of a row becomes one gathered run. context: a WindowRuns.
void gather_window(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                   const float** rows, int64_t row_stride, float* scratch);

}  // namespace convsmith::cpu::CONVSMITH_ISA
