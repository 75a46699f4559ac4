// dweight, the gradient of the weight: dweight[oc, kh, kw, c] = sum over n, oh, ow of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
//     * dy[n, oh, ow, oc]
// where x is zero outside its borders and c counts from the first channel of oc's group. Layouts as
// in conv2d_forward: NHWC, and weight [out_c, kernel_h, kernel_w, in_c / groups].
//
// Every output pixel adds its share to the taps that it saw. To go on: a matrix product over tiles,
// threads (each with a sum of its own, added up in a fixed order).
#include <algorithm>

#include "shapes.h"

using convsmith::Conv2dShape;

void conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dweight) {
  const int64_t channels = s.in_c / s.groups;
  const int64_t pixels = s.batch * s.out_h * s.out_w;
  std::fill(dweight, dweight + s.out_c * s.kernel_h * s.kernel_w * channels, 0.0f);
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const int64_t n = pixel / (s.out_h * s.out_w);
    const int64_t top = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top;
    const int64_t left = pixel % s.out_w * s.stride_w - s.pad_left;
    for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
      const int64_t h = top + kh * s.dilation_h;
      if (h < 0 || h >= s.in_h) continue;
      for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
        const int64_t w = left + kw * s.dilation_w;
        if (w < 0 || w >= s.in_w) continue;
        const float* seen = x + ((n * s.in_h + h) * s.in_w + w) * s.in_c;
        for (int64_t oc = 0; oc < s.out_c; ++oc) {
          const float gradient = dy[pixel * s.out_c + oc];
          const float* group = seen + oc / (s.out_c / s.groups) * channels;
          float* tap = dweight + ((oc * s.kernel_h + kh) * s.kernel_w + kw) * channels;
          for (int64_t c = 0; c < channels; ++c) tap[c] += gradient * group[c];
        }
      }
    }
  }
}
