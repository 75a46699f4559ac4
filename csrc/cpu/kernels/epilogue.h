// The activations that an epilogue applies in registers.
#pragma once

#include "cpu/simd.h"
#include "shapes.h"

namespace convsmith::cpu::CONVSMITH_ISA {

CONVSMITH_INLINE Vec activate(Vec v, Activation kind, float slope) {
  const Vec zero = {};
  switch (kind) {
    case Activation::relu:
      return maximum(v, zero);
    case Activation::leaky_relu:
      return v < zero ? v * slope : v;
    case Activation::hardswish: {
      Vec gate = v + broadcast(3.0f);
      gate = gate < zero ? zero : gate;
      gate = gate > broadcast(6.0f) ? broadcast(6.0f) : gate;
      return v * gate / broadcast(6.0f);
    }
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
