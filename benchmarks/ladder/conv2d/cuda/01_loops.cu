// One thread for each output, neighbouring threads along the output channels.
//
// The threads of a warp share their window of x and write neighbours of y, but each reads a filter
// of its own: 32 lines of memory for every 32 multiply-adds.
#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {
namespace {

constexpr int kThreads = 256;

__global__ void conv2d_loops_kernel(Conv2dShape s, int64_t outputs, const float* x,
                                    const float* weight, float* y) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= outputs) return;
  const int64_t oc = index % s.out_c, m = index / s.out_c;
  const int64_t n = m / (s.out_h * s.out_w), oh = m / s.out_w % s.out_h, ow = m % s.out_w;
  const float* filter = weight + oc * s.kernel_h * s.kernel_w * s.in_c;
  float sum = 0.0f;
  for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
    for (int64_t kw = 0; kw < s.kernel_w; ++kw, filter += s.in_c) {
      const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
      const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
      if (ih < 0 || ih >= s.in_h || iw < 0 || iw >= s.in_w) continue;
      const float* pixel = x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c;
      for (int64_t ic = 0; ic < s.in_c; ++ic) sum += pixel[ic] * filter[ic];
    }
  }
  y[index] = sum;
}

}  // namespace

void conv2d_01_loops(const Conv2dShape& s, const float* x, const float* weight, float* y,
                     Stream stream) {
  const int64_t outputs = s.batch * s.out_h * s.out_w * s.out_c;
  launch("conv2d_01_loops", conv2d_loops_kernel, Grid{(outputs + kThreads - 1) / kThreads},
         kThreads, 0, stream, s, outputs, x, weight, y);
}

}  // namespace convsmith::cuda::ladder
