// Against 01: the weights are transposed to [kh][kw][ic][oc], and the innermost loop runs over the
// output channels.
//
// Neighbouring output channels are independent sums over the same input, so the compiler makes
// vectors of them. What is left: a load and a store of y for every multiply-add.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;
using convsmith::Conv2dShape;

CONVSMITH_RUNG conv2d_02_output_channels(const Conv2dShape* shape, const float* x,
                                         const float* weight, float* y) {
  const Conv2dShape& s = *shape;
  const int64_t depth = s.kernel_h * s.kernel_w * s.in_c;
  const Buffer transposed(depth * s.out_c);
  for (int64_t l = 0; l < depth; ++l) {
    for (int64_t oc = 0; oc < s.out_c; ++oc) {
      transposed.data()[l * s.out_c + oc] = weight[oc * depth + l];
    }
  }
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t oh = 0; oh < s.out_h; ++oh) {
      for (int64_t ow = 0; ow < s.out_w; ++ow, y += s.out_c) {
        for (int64_t oc = 0; oc < s.out_c; ++oc) y[oc] = 0.0f;
        for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
          for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
            const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
            const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
            if (ih < 0 || ih >= s.in_h || iw < 0 || iw >= s.in_w) continue;
            const float* pixel = x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c;
            const float* filter = transposed.data() + (kh * s.kernel_w + kw) * s.in_c * s.out_c;
            for (int64_t ic = 0; ic < s.in_c; ++ic, filter += s.out_c) {
              for (int64_t oc = 0; oc < s.out_c; ++oc) y[oc] += pixel[ic] * filter[oc];
            }
          }
        }
      }
    }
  }
}
