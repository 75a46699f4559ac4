// Parameter updates, in place, each one fused pass over its arrays (as torch.optim):
//
//   SGD:   g = grad + weight_decay p;  v = momentum v + g;  p -= lr (nesterov ? g + momentum v : v)
//   Adam:  g = grad + weight_decay p, or p *= 1 - lr weight_decay when decoupled (AdamW)
//          m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
//          p -= lr / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + eps)
//
// Everything that depends on the step alone is computed once, in double: 1 - beta2 and the bias
// corrections lose half their digits in float.
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_math.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kGrain = 1 << 14;

template <bool kNesterov>
void sgd_with_velocity(int64_t size, float lr, float momentum, float weight_decay,
                       const float* grad, float* param, float* velocity) {
  parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
    for_vectors(end - begin, [=](int64_t i, auto lanes) {
      const Vec p = lanes.load(param + begin + i);
      const Vec g = lanes.load(grad + begin + i) + weight_decay * p;
      const Vec v = momentum * lanes.load(velocity + begin + i) + g;
      lanes.store(velocity + begin + i, v);
      lanes.store(param + begin + i, p - lr * (kNesterov ? g + momentum * v : v));
    });
  });
}

template <bool kDecoupled>
void adam(int64_t size, const AdamStep& options, const float* grad, float* param, float* exp_avg,
          float* exp_avg_sq) {
  const double correction1 = 1.0 - __builtin_pow(options.beta1, static_cast<double>(options.step));
  const double correction2 = 1.0 - __builtin_pow(options.beta2, static_cast<double>(options.step));
  const float step_size = static_cast<float>(options.lr / correction1);
  const float root_scale = static_cast<float>(1.0 / __builtin_sqrt(correction2));
  const float beta1_rest = static_cast<float>(1.0 - options.beta1);
  const float beta1 = static_cast<float>(options.beta1);
  const float beta2 = static_cast<float>(options.beta2);
  const float beta2_rest = static_cast<float>(1.0 - options.beta2);
  const float eps = static_cast<float>(options.eps);
  const float weight_decay = static_cast<float>(options.weight_decay);
  const float shrink = static_cast<float>(1.0 - options.lr * options.weight_decay);
  parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
    for_vectors(end - begin, [=](int64_t i, auto lanes) {
      Vec p = lanes.load(param + begin + i);
      Vec g = lanes.load(grad + begin + i);
      if (kDecoupled) {
        p = p * shrink;
      } else {
        g = g + weight_decay * p;
      }
      const Vec m = beta1 * lanes.load(exp_avg + begin + i) + beta1_rest * g;
      const Vec s = beta2 * lanes.load(exp_avg_sq + begin + i) + beta2_rest * (g * g);
      lanes.store(exp_avg + begin + i, m);
      lanes.store(exp_avg_sq + begin + i, s);
      lanes.store(param + begin + i, p - step_size * m / (square_root(s) * root_scale + eps));
    });
  });
}

}  // namespace

void sgd_update(int64_t size, float lr, float momentum, float weight_decay, bool nesterov,
                const float* grad, float* param, float* velocity) {
  if (velocity == nullptr) {
    parallel_ranges(size, kGrain, [=](int64_t begin, int64_t end) {
      for_vectors(end - begin, [=](int64_t i, auto lanes) {
        const Vec p = lanes.load(param + begin + i);
        lanes.store(param + begin + i, p - lr * (lanes.load(grad + begin + i) + weight_decay * p));
      });
    });
  } else if (nesterov) {
    sgd_with_velocity<true>(size, lr, momentum, weight_decay, grad, param, velocity);
  } else {
    sgd_with_velocity<false>(size, lr, momentum, weight_decay, grad, param, velocity);
  }
}

void adam_update(int64_t size, const AdamStep& options, const float* grad, float* param,
                 float* exp_avg, float* exp_avg_sq) {
  if (options.decoupled) {
    adam<true>(size, options, grad, param, exp_avg, exp_avg_sq);
  } else {
    adam<false>(size, options, grad, param, exp_avg, exp_avg_sq);
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
