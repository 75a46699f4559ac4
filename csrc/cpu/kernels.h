// Every CPU kernel, once per instruction set, and the macro that calls the active one.
#pragma once

#include <cstdint>

#include "cpu/isa.h"
#include "shapes.h"

namespace convsmith::cpu {
namespace generic {
#include "cpu/kernel_declarations.inc"
}
#if defined(__x86_64__)
namespace avx2 {
#include "cpu/kernel_declarations.inc"
}
namespace avx512 {
#include "cpu/kernel_declarations.inc"
}
#endif
}  // namespace convsmith::cpu

// CONVSMITH_CPU_CALL(conv2d_forward, shape, x, weight, epilogue, y);
#if defined(__x86_64__)
#define CONVSMITH_CPU_CALL(kernel, ...)                 \
  do {                                                  \
    switch (::convsmith::cpu::active_isa()) {           \
      case ::convsmith::cpu::Isa::avx512:               \
        ::convsmith::cpu::avx512::kernel(__VA_ARGS__);  \
        break;                                          \
      case ::convsmith::cpu::Isa::avx2:                 \
        ::convsmith::cpu::avx2::kernel(__VA_ARGS__);    \
        break;                                          \
      case ::convsmith::cpu::Isa::generic:              \
        ::convsmith::cpu::generic::kernel(__VA_ARGS__); \
        break;                                          \
    }                                                   \
  } while (0)
#else
#define CONVSMITH_CPU_CALL(kernel, ...) ::convsmith::cpu::generic::kernel(__VA_ARGS__)
#endif
