// y[n, oh, ow, c] = max over kh, kw of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
// over the elements inside x, all NHWC. argmax, of y's shape, is where it was: kh * kernel_w + kw.
// The first NaN of a window wins, else the first maximum. A window wholly in the padding gives
// -infinity and -1.
//
// The loop over channels is innermost: it runs along memory. To go on: vectors of channels,
// threads.
#include <algorithm>
#include <cmath>

#include "shapes.h"

using convsmith::Pool2dShape;

void max_pool2d_forward(const Pool2dShape& s, const float* x, float* y, int32_t* argmax) {
  for (int64_t pixel = 0; pixel < s.batch * s.out_h * s.out_w; ++pixel) {
    const int64_t n = pixel / (s.out_h * s.out_w);
    const int64_t top = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top;
    const int64_t left = pixel % s.out_w * s.stride_w - s.pad_left;
    float* best = y + pixel * s.channels;
    int32_t* where = argmax + pixel * s.channels;
    std::fill(best, best + s.channels, -INFINITY);
    std::fill(where, where + s.channels, -1);
    for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
      const int64_t h = top + kh * s.dilation_h;
      if (h < 0 || h >= s.in_h) continue;
      for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
        const int64_t w = left + kw * s.dilation_w;
        if (w < 0 || w >= s.in_w) continue;
        const float* seen = x + ((n * s.in_h + h) * s.in_w + w) * s.channels;
        for (int64_t c = 0; c < s.channels; ++c) {
          // "Not at most" is true of a NaN; once best is one, nothing replaces it.
          if (where[c] < 0 || (!(seen[c] <= best[c]) && best[c] == best[c])) {
            best[c] = seen[c];
            where[c] = static_cast<int32_t>(kh * s.kernel_w + kw);
          }
        }
      }
    }
  }
}
