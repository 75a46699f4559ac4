// y[i] = kind(x[i]) for `size` elements. negative_slope is read by leaky_relu alone. NaN stays NaN.
//
// A thread owns an element. To go on: 16 bytes a thread (load_pack, store_pack), where the
// addresses allow it.
#include <cmath>

#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Activation
using namespace convsmith::cuda;  // what device.cuh offers: launch, ...

namespace {

constexpr int kThreads = 128;

// 1 / (1 + exp(-x)) by the exponential of a number that is never positive: it cannot overflow.
CONVSMITH_DEVICE float sigmoid(float x) {
  const float small = expf(-fabsf(x));
  return x < 0.0f ? small / (1.0f + small) : 1.0f / (1.0f + small);
}

CONVSMITH_DEVICE float activate(Activation kind, float negative_slope, float x) {
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
      return tanhf(x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::hardswish:
      return x * minimum(maximum(x + 3.0f, 0.0f), 6.0f) / 6.0f;
  }
  return x;
}

__global__ void activation_forward_kernel(Activation kind, float negative_slope, int64_t size,
                                          const float* x, float* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) y[i] = activate(kind, negative_slope, x[i]);
}

}  // namespace

void activation_forward(Activation kind, float negative_slope, int64_t size, const float* x,
                        float* y, Stream stream) {
  launch("activation_forward", activation_forward_kernel, Grid{(size + kThreads - 1) / kThreads},
         kThreads, 0, stream, kind, negative_slope, size, x, y);
}
