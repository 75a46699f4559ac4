// y[n, oh, ow, oc] = sum over kh, kw, c of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
//     * weight[oc, kh, kw, c]
// where x is zero outside its borders and c runs over the channels of oc's group. x and y are NHWC,
// weight is [out_c, kernel_h, kernel_w, in_c / groups]. Bias, residual and activation are applied
// outside.
//
// The plain sum, written from the definition. To go on: a matrix product over tiles of pixels and
// channels, vectors of output channels (which wants the weight packed anew), threads.
#include "shapes.h"

using convsmith::Conv2dShape;

namespace {

// One element of y: what channel oc sees through the window that begins at (top, left) of image n.
float element(const Conv2dShape& s, const float* x, const float* weight, int64_t n, int64_t top,
              int64_t left, int64_t oc) {
  const int64_t channels = s.in_c / s.groups;
  const int64_t first = oc / (s.out_c / s.groups) * channels;  // channel of the group
  float sum = 0.0f;
  for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
    const int64_t h = top + kh * s.dilation_h;
    if (h < 0 || h >= s.in_h) continue;
    for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
      const int64_t w = left + kw * s.dilation_w;
      if (w < 0 || w >= s.in_w) continue;
      const float* seen = x + ((n * s.in_h + h) * s.in_w + w) * s.in_c + first;
      const float* tap = weight + ((oc * s.kernel_h + kh) * s.kernel_w + kw) * channels;
      for (int64_t c = 0; c < channels; ++c) sum += seen[c] * tap[c];
    }
  }
  return sum;
}

}  // namespace

void conv2d_forward(const Conv2dShape& s, const float* x, const float* weight, float* y) {
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oh = 0; oh < s.out_h; ++oh) {
      for (int64_t ow = 0; ow < s.out_w; ++ow) {
        const int64_t top = oh * s.stride_h - s.pad_top;
        const int64_t left = ow * s.stride_w - s.pad_left;
        float* pixel = y + ((n * s.out_h + oh) * s.out_w + ow) * s.out_c;
        for (int64_t oc = 0; oc < s.out_c; ++oc) {
          pixel[oc] = element(s, x, weight, n, top, left, oc);
        }
      }
    }
  }
}
