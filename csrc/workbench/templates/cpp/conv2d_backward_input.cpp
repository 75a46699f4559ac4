// dx, the gradient of the input: dx[n, h, w, c] = sum over kh, kw, oc of
//     dy[n, oh, ow, oc] * weight[oc, kh, kw, c]
// over those oh, ow with oh * stride_h - pad_top + kh * dilation_h = h, and the same for w; oc runs
// over the output channels of c's group. Layouts as in conv2d_forward: NHWC, and weight
// [out_c, kernel_h, kernel_w, in_c / groups].
//
// A scatter: every element of dy hands its share back to the inputs that it saw. To go on: a matrix
// product over tiles of pixels and channels, threads (each over images of its own).
#include <algorithm>

#include "shapes.h"

using convsmith::Conv2dShape;

void conv2d_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  const int64_t channels = s.in_c / s.groups;
  const int64_t pixels = s.batch * s.out_h * s.out_w;
  std::fill(dx, dx + s.batch * s.in_h * s.in_w * s.in_c, 0.0f);
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
        float* met = dx + ((n * s.in_h + h) * s.in_w + w) * s.in_c;
        for (int64_t oc = 0; oc < s.out_c; ++oc) {
          const float gradient = dy[pixel * s.out_c + oc];
          float* group = met + oc / (s.out_c / s.groups) * channels;
          const float* tap = weight + ((oc * s.kernel_h + kh) * s.kernel_w + kw) * channels;
          for (int64_t c = 0; c < channels; ++c) group[c] += gradient * tap[c];
        }
      }
    }
  }
}
