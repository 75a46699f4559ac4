// y[i] = kind(x[i]) for `size` elements. negative_slope is read by leaky_relu alone. NaN stays NaN.
//
// To go on: a loop for each kind, which a compiler turns into vector instructions; an exponential
// of your own; threads.
#include <algorithm>
#include <cmath>

#include "shapes.h"

using convsmith::Activation;

namespace {

// 1 / (1 + exp(-x)) by the exponential of a number that is never positive: it cannot overflow.
float sigmoid(float x) {
  const float small = std::exp(-std::fabs(x));
  return x < 0.0f ? small / (1.0f + small) : 1.0f / (1.0f + small);
}

float activate(Activation kind, float negative_slope, float x) {
  switch (kind) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x <= 0.0f ? 0.0f : x;
    case Activation::leaky_relu:
      return x > 0.0f ? x : x * negative_slope;
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::hardswish:
      return x * std::min(std::max(x + 3.0f, 0.0f), 6.0f) / 6.0f;
  }
  return x;
}

}  // namespace

void activation_forward(Activation kind, float negative_slope, int64_t size, const float* x,
                        float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] = activate(kind, negative_slope, x[i]);
}
