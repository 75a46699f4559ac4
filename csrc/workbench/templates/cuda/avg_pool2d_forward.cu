// y[n, oh, ow, c] = the sum over kh, kw of
//     x[n, oh * stride_h - pad_top + kh, ow * stride_w - pad_left + kw, c]
// divided by the number of elements that count, all NHWC: with count_include_pad those inside the
// input and its padding, else those inside the input alone. x is zero outside its borders; a window
// with no element of the input gives 0.
//
// A thread owns an element of y; neighbouring threads read neighbouring channels. To go on: a pack
// of channels a thread (load_pack, store_pack).
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Pool2dShape
using namespace convsmith::cuda;  // what device.cuh offers: launch, ...

namespace {

constexpr int kThreads = 128;

// How many of the positions start, ..., start + length - 1 lie in [low, high).
CONVSMITH_DEVICE int64_t count(int64_t start, int64_t length, int64_t low, int64_t high) {
  const int64_t first = start > low ? start : low;
  const int64_t end = start + length < high ? start + length : high;
  return end > first ? end - first : 0;
}

__global__ void avg_pool2d_forward_kernel(Pool2dShape s, bool count_include_pad, const float* x,
                                          float* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= s.batch * s.out_h * s.out_w * s.channels) return;
  const int64_t c = i % s.channels;
  const int64_t left = i / s.channels % s.out_w * s.stride_w - s.pad_left;
  const int64_t top = i / s.channels / s.out_w % s.out_h * s.stride_h - s.pad_top;
  const int64_t n = i / s.channels / s.out_w / s.out_h;

  float sum = 0.0f;
  for (int64_t h = top; h < top + s.kernel_h; ++h) {
    if (h < 0 || h >= s.in_h) continue;
    for (int64_t w = left; w < left + s.kernel_w; ++w) {
      if (w < 0 || w >= s.in_w) continue;
      sum += x[((n * s.in_h + h) * s.in_w + w) * s.channels + c];
    }
  }
  int64_t counted;
  if (count_include_pad) {
    counted = count(top, s.kernel_h, -s.pad_top, s.in_h + s.pad_bottom) *
              count(left, s.kernel_w, -s.pad_left, s.in_w + s.pad_right);
  } else {
    counted = count(top, s.kernel_h, 0, s.in_h) * count(left, s.kernel_w, 0, s.in_w);
  }
  y[i] = counted > 0 ? sum / static_cast<float>(counted) : 0.0f;
}

}  // namespace

void avg_pool2d_forward(const Pool2dShape& shape, bool count_include_pad, const float* x, float* y,
                        Stream stream) {
  const int64_t size = shape.batch * shape.out_h * shape.out_w * shape.channels;
  launch("avg_pool2d_forward", avg_pool2d_forward_kernel, Grid{(size + kThreads - 1) / kThreads},
         kThreads, 0, stream, shape, count_include_pad, x, y);
}
