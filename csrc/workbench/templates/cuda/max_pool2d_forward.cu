// y[n, oh, ow, c] = max over kh, kw of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
// over the elements inside x, all NHWC. argmax, of y's shape, is where it was: kh * kernel_w + kw.
// The first NaN of a window wins, else the first maximum. A window wholly in the padding gives
// -infinity and -1.
//
// A thread owns an element of y; neighbouring threads read neighbouring channels. To go on: a pack
// of channels a thread (load_pack, store_pack).
#include <cmath>

#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Pool2dShape
using namespace convsmith::cuda;  // what device.cuh offers: launch, ...

namespace {

constexpr int kThreads = 128;

__global__ void max_pool2d_forward_kernel(Pool2dShape s, const float* x, float* y,
                                          int32_t* argmax) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= s.batch * s.out_h * s.out_w * s.channels) return;
  const int64_t c = i % s.channels;
  const int64_t left = i / s.channels % s.out_w * s.stride_w - s.pad_left;
  const int64_t top = i / s.channels / s.out_w % s.out_h * s.stride_h - s.pad_top;
  const int64_t n = i / s.channels / s.out_w / s.out_h;

  float best = -INFINITY;
  int32_t where = -1;
  for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
    const int64_t h = top + kh * s.dilation_h;
    if (h < 0 || h >= s.in_h) continue;
    for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
      const int64_t w = left + kw * s.dilation_w;
      if (w < 0 || w >= s.in_w) continue;
      const float seen = x[((n * s.in_h + h) * s.in_w + w) * s.channels + c];
      // "Not at most" is true of a NaN; once best is one, nothing replaces it.
      if (where < 0 || (!(seen <= best) && best == best)) {
        best = seen;
        where = static_cast<int32_t>(kh * s.kernel_w + kw);
      }
    }
  }
  y[i] = best;
  argmax[i] = where;
}

}  // namespace

void max_pool2d_forward(const Pool2dShape& shape, const float* x, float* y, int32_t* argmax,
                        Stream stream) {
  const int64_t size = shape.batch * shape.out_h * shape.out_w * shape.channels;
  launch("max_pool2d_forward", max_pool2d_forward_kernel, Grid{(size + kThreads - 1) / kThreads},
         kThreads, 0, stream, shape, x, y, argmax);
}
