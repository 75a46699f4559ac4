// Parameter updates, in place, each one fused pass over its arrays (as torch.optim):
//
//   SGD:   g = grad + weight_decay p;  v = momentum v + g;  p -= lr (nesterov ? g + momentum v : v)
//   Adam:  g = grad + weight_decay p, or p *= 1 - lr weight_decay when decoupled (AdamW)
//          m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
//          p -= lr / (1 - beta1^t) * m / (sqrt(s) / sqrt(1 - beta2^t) + eps)
//
// Parameters and gradients are stored as T; the state (velocity, exp_avg, exp_avg_sq) is float for
// every T: a running average in 16 bits would stop moving. What depends on the step alone is
// computed once on the host, in double: 1 - beta2 and the bias corrections lose half their digits
// in float.
#include <cmath>

#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

struct SgdFactors {
  float lr, momentum, weight_decay;
  bool nesterov;
};

// velocity may be null: then the step is lr * g.
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    sgd_update_kernel(int64_t size, SgdFactors f, const T* grad, T* param, float* velocity) {
  for_packs<N>(size, [=](int64_t i, auto width) {
    constexpr int kWidth = decltype(width)::value;
    Values<kWidth> p = load_values<kWidth>(param + i);
    Values<kWidth> g = load_values<kWidth>(grad + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) g.v[j] += f.weight_decay * p.v[j];
    if (velocity != nullptr) {
      Values<kWidth> v = load_values<kWidth>(velocity + i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        v.v[j] = f.momentum * v.v[j] + g.v[j];
        g.v[j] = f.nesterov ? g.v[j] + f.momentum * v.v[j] : v.v[j];
      }
      store_values<kWidth>(velocity + i, v);
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) p.v[j] -= f.lr * g.v[j];
    store_values<kWidth>(param + i, p);
  });
}

struct AdamFactors {
  float step_size, root_scale, beta1, beta1_rest, beta2, beta2_rest, eps;
  float weight_decay, shrink;  // one of them does nothing: 0 or 1
};

template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    adam_update_kernel(int64_t size, AdamFactors f, const T* grad, T* param, float* exp_avg,
                       float* exp_avg_sq) {
  for_packs<N>(size, [=](int64_t i, auto width) {
    constexpr int kWidth = decltype(width)::value;
    Values<kWidth> p = load_values<kWidth>(param + i);
    const Values<kWidth> grads = load_values<kWidth>(grad + i);
    Values<kWidth> m = load_values<kWidth>(exp_avg + i);
    Values<kWidth> s = load_values<kWidth>(exp_avg_sq + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float g = grads.v[j] + f.weight_decay * p.v[j];
      m.v[j] = f.beta1 * m.v[j] + f.beta1_rest * g;
      s.v[j] = f.beta2 * s.v[j] + f.beta2_rest * (g * g);
      p.v[j] = p.v[j] * f.shrink - f.step_size * m.v[j] / (sqrtf(s.v[j]) * f.root_scale + f.eps);
    }
    store_values<kWidth>(exp_avg + i, m);
    store_values<kWidth>(exp_avg_sq + i, s);
    store_values<kWidth>(param + i, p);
  });
}

AdamFactors factors_of(const AdamStep& options) {
  const double step = static_cast<double>(options.step);
  const double correction1 = 1.0 - std::pow(options.beta1, step);
  const double correction2 = 1.0 - std::pow(options.beta2, step);
  AdamFactors f;
  f.step_size = static_cast<float>(options.lr / correction1);
  f.root_scale = static_cast<float>(1.0 / std::sqrt(correction2));
  f.beta1 = static_cast<float>(options.beta1);
  f.beta1_rest = static_cast<float>(1.0 - options.beta1);
  f.beta2 = static_cast<float>(options.beta2);
  f.beta2_rest = static_cast<float>(1.0 - options.beta2);
  f.eps = static_cast<float>(options.eps);
  f.weight_decay = options.decoupled ? 0.0f : static_cast<float>(options.weight_decay);
  f.shrink = options.decoupled ? static_cast<float>(1.0 - options.lr * options.weight_decay) : 1.0f;
  return f;
}

}  // namespace

template <class T>
void sgd_update(int64_t size, float lr, float momentum, float weight_decay, bool nesterov,
                const T* grad, T* param, float* velocity, Stream stream) {
  if (size == 0) return;
  const SgdFactors factors{lr, momentum, weight_decay, nesterov};
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(grad, param, velocity), [&](auto width) {
    constexpr int N = decltype(width)::value;
    launch("sgd_update", sgd_update_kernel<T, N>, grid_for(size / N + 1), kStreamThreads, 0, stream,
           size, factors, grad, param, velocity);
  });
}

template <class T>
void adam_update(int64_t size, const AdamStep& options, const T* grad, T* param, float* exp_avg,
                 float* exp_avg_sq, Stream stream) {
  if (size == 0) return;
  const AdamFactors factors = factors_of(options);
  const bool wide = allows_packs<kWidest<T>>(grad, param, exp_avg, exp_avg_sq);
  with_width<kWidest<T>>(wide, [&](auto width) {
    constexpr int N = decltype(width)::value;
    launch("adam_update", adam_update_kernel<T, N>, grid_for(size / N + 1), kStreamThreads, 0,
           stream, size, factors, grad, param, exp_avg, exp_avg_sq);
  });
}

#define CONVSMITH_INSTANTIATE(T)                                                                 \
  template void sgd_update<T>(int64_t, float, float, float, bool, const T*, T*, float*, Stream); \
  template void adam_update<T>(int64_t, const AdamStep&, const T*, T*, float*, float*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
