// y = a + b, elementwise.
//
// Memory-bound: every thread moves 16 bytes at a time and strides by the whole grid. A vector
// access needs all three addresses aligned; where they are not, or in the tail, elements go one
// by one through the same loop.
#include "cuda/device.cuh"
#include "cuda/kernels.cuh"

namespace convsmith::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1 << 16;

template <class T, int N>
__global__ void __launch_bounds__(kThreads)
    add_kernel(int64_t size, const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ y) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t packs = size / N;
  for (int64_t i = first; i < packs; i += stride) {
    const Pack<T, N> left = load_pack<N>(a + i * N);
    const Pack<T, N> right = load_pack<N>(b + i * N);
    Pack<T, N> sum;
#pragma unroll
    for (int j = 0; j < N; ++j) sum.v[j] = from_float<T>(to_float(left.v[j]) + to_float(right.v[j]));
    store_pack(y + i * N, sum);
  }
  for (int64_t i = packs * N + first; i < size; i += stride) {
    y[i] = from_float<T>(to_float(a[i]) + to_float(b[i]));
  }
}

template <class T, int N>
void launch_add(int64_t size, const T* a, const T* b, T* y, Stream stream) {
  const int64_t blocks = (size / N + kThreads) / kThreads;
  launch("add", add_kernel<T, N>, Grid{blocks < kMaxBlocks ? blocks : kMaxBlocks}, kThreads, 0,
         stream, size, a, b, y);
}

bool aligned_16(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

}  // namespace

template <class T>
void add(int64_t size, const T* a, const T* b, T* y, Stream stream) {
  if (size == 0) return;
  if (aligned_16(a) && aligned_16(b) && aligned_16(y)) {
    launch_add<T, 16 / static_cast<int>(sizeof(T))>(size, a, b, y, stream);
  } else {
    launch_add<T, 1>(size, a, b, y, stream);
  }
}

template void add(int64_t, const float*, const float*, float*, Stream);
template void add(int64_t, const float16*, const float16*, float16*, Stream);
template void add(int64_t, const bfloat16*, const bfloat16*, bfloat16*, Stream);

}  // namespace convsmith::cuda
