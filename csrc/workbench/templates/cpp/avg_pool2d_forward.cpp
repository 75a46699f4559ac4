// y[n, oh, ow, c] = the sum over kh, kw of
//     x[n, oh * stride_h - pad_top + kh, ow * stride_w - pad_left + kw, c]
// divided by the number of elements that count, all NHWC: with count_include_pad those inside the
// input and its padding, else those inside the input alone. x is zero outside its borders; a window
// with no element of the input gives 0.
//
// The loop over channels is innermost: it runs along memory. To go on: vectors of channels,
// threads.
#include <algorithm>

#include "shapes.h"

using convsmith::Pool2dShape;

void avg_pool2d_forward(const Pool2dShape& s, bool count_include_pad, const float* x, float* y) {
  for (int64_t pixel = 0; pixel < s.batch * s.out_h * s.out_w; ++pixel) {
    const int64_t n = pixel / (s.out_h * s.out_w);
    const int64_t top = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top;
    const int64_t left = pixel % s.out_w * s.stride_w - s.pad_left;
    float* sum = y + pixel * s.channels;
    std::fill(sum, sum + s.channels, 0.0f);
    int64_t counted = 0;
    for (int64_t h = top; h < top + s.kernel_h; ++h) {
      for (int64_t w = left; w < left + s.kernel_w; ++w) {
        const bool inside = h >= 0 && h < s.in_h && w >= 0 && w < s.in_w;
        const bool padded = h >= -s.pad_top && h < s.in_h + s.pad_bottom && w >= -s.pad_left &&
                            w < s.in_w + s.pad_right;
        if (count_include_pad ? padded : inside) ++counted;
        if (!inside) continue;
        const float* seen = x + ((n * s.in_h + h) * s.in_w + w) * s.channels;
        for (int64_t c = 0; c < s.channels; ++c) sum[c] += seen[c];
      }
    }
    const auto divisor = static_cast<float>(std::max<int64_t>(counted, 1));
    for (int64_t c = 0; c < s.channels; ++c) sum[c] /= divisor;
  }
}
