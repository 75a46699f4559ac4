// The CUDA rungs of the convolution ladder, in order: forward, NHWC, weight [oc, kh, kw, ic].
#pragma once

#include "cuda/types.h"
#include "shapes.h"

namespace convsmith::cuda::ladder {

using Conv2dRung = void (*)(const Conv2dShape&, const float* x, const float* weight, float* y,
                            Stream);

void conv2d_01_loops(const Conv2dShape&, const float* x, const float* weight, float* y, Stream);
void conv2d_02_implicit_gemm(const Conv2dShape&, const float* x, const float* weight, float* y,
                             Stream);
void conv2d_03_register_square(const Conv2dShape&, const float* x, const float* weight, float* y,
                               Stream);
// From here on: input channels in fours, so that 16 bytes can move at once.
void conv2d_04_copies_ahead(const Conv2dShape&, const float* x, const float* weight, float* y,
                            Stream);
// 16-bit operands, float sums; input channels in eights.
void conv2d_05_matrix_units(const Conv2dShape&, const bfloat16* x, const bfloat16* weight, float* y,
                            Stream);

constexpr struct {
  const char* name;
  Conv2dRung run;
  int multiple;  // of the input channels
} kConv2dRungs[] = {
    {"01_loops", conv2d_01_loops, 1},
    {"02_implicit_gemm", conv2d_02_implicit_gemm, 1},
    {"03_register_square", conv2d_03_register_square, 1},
    {"04_copies_ahead", conv2d_04_copies_ahead, 4},
};

}  // namespace convsmith::cuda::ladder
