// The implicit matrix of a convolution: row m is an output pixel, column l = (kh, kw, ic) a number
// of its window. Shared by the rungs from 02 on.
#pragma once

#include "cuda/device.cuh"
#include "rungs.h"

namespace convsmith::cuda::ladder {

struct Sizes {  // of the GEMM: pixels x output channels, summed over depth
  int m, n, k;
};

inline Sizes gemm_sizes(const Conv2dShape& s) {
  return {static_cast<int>(s.batch * s.out_h * s.out_w), static_cast<int>(s.out_c),
          static_cast<int>(s.kernel_h * s.kernel_w * s.in_c)};
}

// Where element l of row m lies in x; exists: not in the padding and not past the matrix.
CONVSMITH_DEVICE int64_t window_offset(const Conv2dShape& s, const Sizes& sizes, int m, int l,
                                       bool& exists) {
  const int out_w = static_cast<int>(s.out_w), out_h = static_cast<int>(s.out_h);
  const int channels = static_cast<int>(s.in_c), kernel_w = static_cast<int>(s.kernel_w);
  const int tap = l / channels, line = m / out_w;
  const int64_t ih = line % out_h * s.stride_h - s.pad_top + tap / kernel_w * s.dilation_h;
  const int64_t iw = m % out_w * s.stride_w - s.pad_left + tap % kernel_w * s.dilation_w;
  exists = m < sizes.m && l < sizes.k && ih >= 0 && ih < s.in_h && iw >= 0 && iw < s.in_w;
  return exists ? ((line / out_h * s.in_h + ih) * s.in_w + iw) * s.in_c + l % channels : 0;
}

}  // namespace convsmith::cuda::ladder
