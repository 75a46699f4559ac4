// The activations that an epilogue applies in registers.
#pragma once

#include "cpu/simd_math.h"

namespace convsmith::cpu::CONVSMITH_ISA {

CONVSMITH_INLINE Vec apply_activation(Vec v, Activation kind, float slope) {
  switch (kind) {
    case Activation::relu:
      return activate<Activation::relu>(v, slope);
    case Activation::leaky_relu:
      return activate<Activation::leaky_relu>(v, slope);
    case Activation::hardswish:
      return activate<Activation::hardswish>(v, slope);
    default:
      return v;
  }
}

// The transcendental ones need more registers than a tile leaves: activation_forward applies them
// to the finished block while it is still in L1.
CONVSMITH_INLINE bool runs_over_finished_block(Activation kind) {
  return kind == Activation::sigmoid || kind == Activation::tanh || kind == Activation::silu;
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
