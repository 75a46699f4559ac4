// Elementwise activations over `size` elements: y = activation(x), dx = dy * activation'(saved).
//
// Bound by memory: one pack of 16 bytes a thread and operand, one pass, any number of elements (the
// last few one by one). An array that does not start on a 16-byte border takes single elements.
#include "cuda/activate.cuh"
#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    activation_forward_kernel(int64_t size, Activation kind, float negative_slope, const T* x,
                              T* y) {
  for_packs<N>(size, [=](int64_t i, auto width) {
    constexpr int kWidth = decltype(width)::value;
    Values<kWidth> value = load_values<kWidth>(x + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) value.v[j] = activate(kind, negative_slope, value.v[j]);
    store_values<kWidth>(y + i, value);
  });
}

template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    activation_backward_kernel(int64_t size, Activation kind, float negative_slope, const T* dy,
                               const T* saved, T* dx) {
  for_packs<N>(size, [=](int64_t i, auto width) {
    constexpr int kWidth = decltype(width)::value;
    Values<kWidth> value = load_values<kWidth>(dy + i);
    const Values<kWidth> kept = load_values<kWidth>(saved + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      value.v[j] = activate_backward(kind, negative_slope, value.v[j], kept.v[j]);
    }
    store_values<kWidth>(dx + i, value);
  });
}

}  // namespace

template <class T>
void activation_forward(Activation kind, float negative_slope, int64_t size, const T* x, T* y,
                        Stream stream) {
  if (size == 0) return;
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(x, y), [&](auto width) {
    constexpr int N = decltype(width)::value;
    launch("activation_forward", activation_forward_kernel<T, N>, grid_for(size / N + 1),
           kStreamThreads, 0, stream, size, kind, negative_slope, x, y);
  });
}

template <class T>
void activation_backward(Activation kind, float negative_slope, int64_t size, const T* dy,
                         const T* saved, T* dx, Stream stream) {
  if (size == 0) return;
  // The identity's derivative does not depend on what was saved.
  if (kind == Activation::identity) saved = dy;
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(dy, saved, dx), [&](auto width) {
    constexpr int N = decltype(width)::value;
    launch("activation_backward", activation_backward_kernel<T, N>, grid_for(size / N + 1),
           kStreamThreads, 0, stream, size, kind, negative_slope, dy, saved, dx);
  });
}

#define CONVSMITH_INSTANTIATE(T)                                                         \
  template void activation_forward<T>(Activation, float, int64_t, const T*, T*, Stream); \
  template void activation_backward<T>(Activation, float, int64_t, const T*, const T*, T*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
