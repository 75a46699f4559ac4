// Depthwise convolution: one filter a channel, so there is no GEMM in it; channels fill the vector.
#pragma once

#include "cpu/simd.h"
#include "shapes.h"

namespace convsmith::cpu::CONVSMITH_ISA {

CONVSMITH_INLINE bool is_depthwise(const Conv2dShape& s) {
  return s.groups == s.in_c && s.out_c == s.in_c && s.groups > 1;
}
void depthwise_forward(const Conv2dShape& s, const float* x, const float* weight,
                       const Epilogue& epilogue, float* y);
void depthwise_backward_input(const Conv2dShape& s, const float* dy, const float* weight,
                              float* dx);
void depthwise_backward_weight(const Conv2dShape& s, const float* x, const float* dy,
                               float* dweight);

}  // namespace convsmith::cpu::CONVSMITH_ISA
