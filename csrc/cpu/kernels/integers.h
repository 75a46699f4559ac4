// Integer arithmetic of blocking. Not std::min: a symbol of the library must not be compiled here
// (see cpu/simd.h).
#pragma once

#include "cpu/simd.h"

namespace convsmith::cpu::CONVSMITH_ISA {

CONVSMITH_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }
CONVSMITH_INLINE int64_t maximum(int64_t a, int64_t b) { return a > b ? a : b; }
CONVSMITH_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
CONVSMITH_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

}  // namespace convsmith::cpu::CONVSMITH_ISA
