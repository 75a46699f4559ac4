// Against 02: the windows of all output pixels are written out as rows of a matrix, and one GEMM
// does the rest: [pixels, kh * kw * ic] times [kh * kw * ic, oc]. It is rung 07 of the GEMM ladder.
//
// The sums now live in a register tile. The price is the matrix: for a 3x3 filter nine times the
// input, written once and read once, more than the caches hold.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;
using convsmith::Conv2dShape;

CONVSMITH_RUNG gemm_07_prefetch(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                                float* c);

CONVSMITH_RUNG conv2d_03_im2col(const Conv2dShape* shape, const float* x, const float* weight,
                                float* y) {
  const Conv2dShape& s = *shape;
  const int64_t depth = s.kernel_h * s.kernel_w * s.in_c, pixels = s.batch * s.out_h * s.out_w;
  const Buffer transposed(depth * s.out_c), matrix(pixels * depth);
  for (int64_t l = 0; l < depth; ++l) {
    for (int64_t oc = 0; oc < s.out_c; ++oc) {
      transposed.data()[l * s.out_c + oc] = weight[oc * depth + l];
    }
  }
  float* to = matrix.data();
  for (int64_t m = 0; m < pixels; ++m) {
    const int64_t n = m / (s.out_h * s.out_w), oh = m / s.out_w % s.out_h, ow = m % s.out_w;
    for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
      for (int64_t kw = 0; kw < s.kernel_w; ++kw, to += s.in_c) {
        const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
        const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
        const bool inside = ih >= 0 && ih < s.in_h && iw >= 0 && iw < s.in_w;
        const float* pixel = x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c;
        for (int64_t ic = 0; ic < s.in_c; ++ic) to[ic] = inside ? pixel[ic] : 0.0f;
      }
    }
  }
  gemm_07_prefetch(pixels, s.out_c, depth, matrix.data(), transposed.data(), y);
}
