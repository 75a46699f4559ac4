// dx, the gradient of the input: dx[n, h, w, c] = sum over kh, kw, oc of
//     dy[n, oh, ow, oc] * weight[oc, kh, kw, c]
// over those oh, ow with oh * stride_h - pad_top + kh * dilation_h = h, and the same for w; oc runs
// over the output channels of c's group. Layouts as in conv2d_forward: NHWC, and weight
// [out_c, kernel_h, kernel_w, in_c / groups].
//
// A gather: a thread owns an element of dx and asks the outputs that it took part in. Every dx is
// written once, with no atomics. To go on: a matrix product through shared memory, as in the
// template of conv2d_forward.
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Conv2dShape
using namespace convsmith::cuda;  // what device.cuh offers: launch, ...

namespace {

constexpr int kThreads = 128;

__global__ void conv2d_backward_input_kernel(Conv2dShape s, const float* dy, const float* weight,
                                             float* dx) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= s.batch * s.in_h * s.in_w * s.in_c) return;
  const int64_t channels = s.in_c / s.groups;
  const int64_t out_channels = s.out_c / s.groups;
  const int64_t c = i % s.in_c;
  const int64_t w = i / s.in_c % s.in_w;
  const int64_t h = i / s.in_c / s.in_w % s.in_h;
  const int64_t n = i / s.in_c / s.in_w / s.in_h;
  const int64_t first = c / channels * out_channels;  // output channel of the group

  float sum = 0.0f;
  for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
    const int64_t down = h + s.pad_top - kh * s.dilation_h;
    if (down < 0 || down % s.stride_h != 0 || down / s.stride_h >= s.out_h) continue;
    for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
      const int64_t right = w + s.pad_left - kw * s.dilation_w;
      if (right < 0 || right % s.stride_w != 0 || right / s.stride_w >= s.out_w) continue;
      const int64_t pixel = (n * s.out_h + down / s.stride_h) * s.out_w + right / s.stride_w;
      for (int64_t oc = first; oc < first + out_channels; ++oc) {
        sum += dy[pixel * s.out_c + oc] *
               weight[((oc * s.kernel_h + kh) * s.kernel_w + kw) * channels + c % channels];
      }
    }
  }
  dx[i] = sum;
}

}  // namespace

void conv2d_backward_input(const Conv2dShape& shape, const float* dy, const float* weight,
                           float* dx, Stream stream) {
  const int64_t size = shape.batch * shape.in_h * shape.in_w * shape.in_c;
  launch("conv2d_backward_input", conv2d_backward_input_kernel,
         Grid{(size + kThreads - 1) / kThreads}, kThreads, 0, stream, shape, dy, weight, dx);
}
