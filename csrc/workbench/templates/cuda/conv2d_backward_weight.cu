// dweight, the gradient of the weight: dweight[oc, kh, kw, c] = sum over n, oh, ow of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
//     * dy[n, oh, ow, oc]
// where x is zero outside its borders and c counts from the first channel of oc's group. Layouts as
// in conv2d_forward: NHWC, and weight [out_c, kernel_h, kernel_w, in_c / groups].
//
// A warp owns an element of dweight: its lanes share the output pixels and add up what they found
// by shuffles, always in the same order. To go on: a matrix product through shared memory, as in
// the template of conv2d_forward, with the depth split among blocks.
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Conv2dShape
using namespace convsmith::cuda;  // what device.cuh offers: shuffle_down, launch, ...

namespace {

constexpr int kWarps = 4;  // of a block
constexpr int kLanes = 32;

__global__ void conv2d_backward_weight_kernel(Conv2dShape s, const float* x, const float* dy,
                                              float* dweight) {
  const int64_t channels = s.in_c / s.groups;
  const int64_t i = int64_t{blockIdx.x} * kWarps + warp_id();
  if (i >= s.out_c * s.kernel_h * s.kernel_w * channels) return;  // the whole warp
  const int64_t kw = i / channels % s.kernel_w;
  const int64_t kh = i / channels / s.kernel_w % s.kernel_h;
  const int64_t oc = i / channels / s.kernel_w / s.kernel_h;
  const int64_t c = oc / (s.out_c / s.groups) * channels + i % channels;

  float sum = 0.0f;
  for (int64_t pixel = lane_id(); pixel < s.batch * s.out_h * s.out_w; pixel += kLanes) {
    const int64_t n = pixel / (s.out_h * s.out_w);
    const int64_t h = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top + kh * s.dilation_h;
    const int64_t w = pixel % s.out_w * s.stride_w - s.pad_left + kw * s.dilation_w;
    if (h < 0 || h >= s.in_h || w < 0 || w >= s.in_w) continue;
    sum += x[((n * s.in_h + h) * s.in_w + w) * s.in_c + c] * dy[pixel * s.out_c + oc];
  }
  for (int delta = kLanes / 2; delta > 0; delta /= 2) sum += shuffle_down(sum, delta);
  if (lane_id() == 0) dweight[i] = sum;
}

}  // namespace

void conv2d_backward_weight(const Conv2dShape& shape, const float* x, const float* dy,
                            float* dweight, Stream stream) {
  const int64_t size = shape.out_c * shape.kernel_h * shape.kernel_w * (shape.in_c / shape.groups);
  launch("conv2d_backward_weight", conv2d_backward_weight_kernel,
         Grid{(size + kWarps - 1) / kWarps}, kWarps * kLanes, 0, stream, shape, x, dy, dweight);
}
