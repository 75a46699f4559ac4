// Elementwise kernels over `size` floats: y = activation(x), dx = dy * activation'(saved),
// y = a + b.
//
// Bound by memory (exp and its kin excepted), so: one pass, whole vectors, and tasks of a fixed
// number of elements. The kind is a template parameter, nothing is decided inside the loop.
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_math.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kGrain = 1 << 15;  // 128 KB of one operand a task

template <Activation kKind>
void forward(float negative_slope, int64_t size, const float* x, float* y) {
  parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
    for_vectors(end - begin, [=](int64_t i, auto lanes) {
      lanes.store(y + begin + i, activate<kKind>(lanes.load(x + begin + i), negative_slope));
    });
  });
}

template <Activation kKind>
void backward(float negative_slope, int64_t size, const float* dy, const float* saved, float* dx) {
  parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
    for_vectors(end - begin, [=](int64_t i, auto lanes) {
      const Vec gradient = lanes.load(dy + begin + i);
      const Vec value = lanes.load(saved + begin + i);
      lanes.store(dx + begin + i, activate_backward<kKind>(gradient, value, negative_slope));
    });
  });
}

}  // namespace

void activation_forward(Activation kind, float negative_slope, int64_t size, const float* x,
                        float* y) {
  switch (kind) {
    case Activation::identity:
      return forward<Activation::identity>(negative_slope, size, x, y);
    case Activation::relu:
      return forward<Activation::relu>(negative_slope, size, x, y);
    case Activation::leaky_relu:
      return forward<Activation::leaky_relu>(negative_slope, size, x, y);
    case Activation::sigmoid:
      return forward<Activation::sigmoid>(negative_slope, size, x, y);
    case Activation::tanh:
      return forward<Activation::tanh>(negative_slope, size, x, y);
    case Activation::silu:
      return forward<Activation::silu>(negative_slope, size, x, y);
    case Activation::hardswish:
      return forward<Activation::hardswish>(negative_slope, size, x, y);
  }
}

void activation_backward(Activation kind, float negative_slope, int64_t size, const float* dy,
                         const float* saved, float* dx) {
  switch (kind) {
    case Activation::identity:  // does not read what was saved
      return forward<Activation::identity>(negative_slope, size, dy, dx);
    case Activation::relu:
      return backward<Activation::relu>(negative_slope, size, dy, saved, dx);
    case Activation::leaky_relu:
      return backward<Activation::leaky_relu>(negative_slope, size, dy, saved, dx);
    case Activation::sigmoid:
      return backward<Activation::sigmoid>(negative_slope, size, dy, saved, dx);
    case Activation::tanh:
      return backward<Activation::tanh>(negative_slope, size, dy, saved, dx);
    case Activation::silu:
      return backward<Activation::silu>(negative_slope, size, dy, saved, dx);
    case Activation::hardswish:
      return backward<Activation::hardswish>(negative_slope, size, dy, saved, dx);
  }
}

void add(int64_t size, const float* a, const float* b, float* y) {
  parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
    for_vectors(end - begin, [=](int64_t i, auto lanes) {
      lanes.store(y + begin + i, lanes.load(a + begin + i) + lanes.load(b + begin + i));
    });
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
