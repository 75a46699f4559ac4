// The definition: for every output the sum over the filter and the input channels.
//
// The innermost loop is a dot product along the channels, which lie together in x and in weight;
// its additions are one chain, each waiting for the one before.
#include "rung.h"

using convsmith::Conv2dShape;

CONVSMITH_RUNG conv2d_01_naive(const Conv2dShape* shape, const float* x, const float* weight,
                               float* y) {
  const Conv2dShape& s = *shape;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oh = 0; oh < s.out_h; ++oh) {
      for (int64_t ow = 0; ow < s.out_w; ++ow) {
        for (int64_t oc = 0; oc < s.out_c; ++oc) {
          float sum = 0.0f;
          for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
            for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
              const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
              const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
              if (ih < 0 || ih >= s.in_h || iw < 0 || iw >= s.in_w) continue;
              const float* pixel = x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c;
              const float* filter = weight + ((oc * s.kernel_h + kh) * s.kernel_w + kw) * s.in_c;
              for (int64_t ic = 0; ic < s.in_c; ++ic) sum += pixel[ic] * filter[ic];
            }
          }
          *y++ = sum;
        }
      }
    }
  }
}
