// y = a + b over `size` elements, the sum in float and rounded once.
//
// Bound by memory: see streaming.cuh.
#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    add_kernel(int64_t size, const T* a, const T* b, T* y) {
  for_packs<N>(size, [=](int64_t i, auto width) {
    constexpr int kWidth = decltype(width)::value;
    Values<kWidth> sum = load_values<kWidth>(a + i);
    const Values<kWidth> other = load_values<kWidth>(b + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) sum.v[j] += other.v[j];
    store_values<kWidth>(y + i, sum);
  });
}

}  // namespace

template <class T>
void add(int64_t size, const T* a, const T* b, T* y, Stream stream) {
  if (size == 0) return;
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(a, b, y), [&](auto width) {
    constexpr int N = decltype(width)::value;
    launch("add", add_kernel<T, N>, grid_for(size / N + 1), kStreamThreads, 0, stream, size, a, b,
           y);
  });
}

#define CONVSMITH_INSTANTIATE(T) template void add<T>(int64_t, const T*, const T*, T*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
