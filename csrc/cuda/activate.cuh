// The activations and their derivatives on one float, for the elementwise kernels and for every
// epilogue. The kind is decided at run time: it is the same for the whole grid, so the branch is
// uniform and hides behind the memory.
#pragma once

#include "cuda/device.cuh"
#include "shapes.h"

namespace convsmith::cuda {

// The logistic function and its complement 1 - sigmoid(x), neither by a subtraction; the
// exponential is of a number that is never positive, so it cannot overflow.
struct Logistic {
  float value, complement;
};
CONVSMITH_DEVICE Logistic logistic(float x) {
  const float e = expf(-fabsf(x));
  const float large = 1.0f / (1.0f + e);
  const float small = e * large;
  return {x < 0.0f ? small : large, x < 0.0f ? large : small};
}

// activation(x). Comparisons are written so that NaN passes through.
CONVSMITH_DEVICE float activate(Activation kind, float negative_slope, float x) {
  switch (kind) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x <= 0.0f ? 0.0f : x;
    case Activation::leaky_relu:
      return x > 0.0f ? x : x * negative_slope;
    case Activation::sigmoid:
      return logistic(x).value;
    case Activation::tanh:
      return tanhf(x);
    case Activation::silu:
      return x * logistic(x).value;
    case Activation::hardswish: {
      float gate = x + 3.0f;
      gate = gate < 0.0f ? 0.0f : gate;
      gate = gate > 6.0f ? 6.0f : gate;
      return x * gate / 6.0f;
    }
  }
  return x;
}

// dy * activation'(x), from saved = y, but from saved = x for silu and hardswish. Where there is no
// derivative the value is PyTorch's: 0 at relu's kink, the slope at leaky_relu's.
CONVSMITH_DEVICE float activate_backward(Activation kind, float negative_slope, float dy,
                                         float saved) {
  switch (kind) {
    case Activation::identity:
      return dy;
    case Activation::relu:
      return saved <= 0.0f ? 0.0f : dy;
    case Activation::leaky_relu:
      return saved > 0.0f ? dy : dy * negative_slope;
    case Activation::sigmoid:
      return dy * saved * (1.0f - saved);
    case Activation::tanh:
      return dy * (1.0f - saved * saved);
    case Activation::silu: {
      const Logistic gate = logistic(saved);
      return dy * gate.value * (1.0f + saved * gate.complement);
    }
    case Activation::hardswish: {
      const float slope = saved < 3.0f ? saved / 3.0f + 0.5f : 1.0f;
      return dy * (saved <= -3.0f ? 0.0f : slope);
    }
  }
  return dy;
}

}  // namespace convsmith::cuda
