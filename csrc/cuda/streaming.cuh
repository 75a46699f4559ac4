// What the memory-bound kernels share: wide loads, a division without a division instruction, and
// the split of a flat index into image, row, column and channel.
//
// A memory-bound kernel reaches the roofline when every warp asks for whole, consecutive 16-byte
// pieces and enough of them are under way. So a thread works on a pack of N neighbouring elements
// (channels, in NHWC), N = 16 / sizeof(T) where the channel count and all addresses allow it, else
// N = 1: every kernel is a template on N and no other width exists. Arithmetic is float, whatever
// the storage.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/device.cuh"

namespace convsmith::cuda {

// Explicit instantiations: instantiate(T) for each storage type.
#define CONVSMITH_FOR_STORAGE_TYPES(instantiate) \
  instantiate(float) instantiate(float16) instantiate(bfloat16)

constexpr int kStreamThreads = 256;
// Blocks that must fit a multiprocessor, for kernels that keep many loads under way from each
// thread: asked for no more than this, the compiler does not spill registers for the sake of more
// threads.
constexpr int kLeastResident = 2;

template <class T>
constexpr int kWidest = static_cast<int>(16 / sizeof(T));

// One float an element, as loaded from storage of any type.
template <int N>
struct Values {
  float v[N];
};

// How many elements of T one access of at most 16 bytes takes out of N.
template <class T, int N>
constexpr int kAccess = N * static_cast<int>(sizeof(T)) <= 16 ? N : kWidest<T>;

template <int N, class T>
CONVSMITH_DEVICE Values<N> load_values(const T* p) {
  Values<N> result;
  constexpr int kStep = kAccess<T, N>;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    const Pack<T, kStep> pack = load_pack<kStep>(p + i);
#pragma unroll
    for (int j = 0; j < kStep; ++j) result.v[i + j] = to_float(pack.v[j]);
  }
  return result;
}

// The same from an address with no more alignment than its type.
template <int N>
CONVSMITH_DEVICE Values<N> load_each(const float* p) {
  Values<N> result;
#pragma unroll
  for (int j = 0; j < N; ++j) result.v[j] = p[j];
  return result;
}

template <int N, class T>
CONVSMITH_DEVICE void store_values(T* p, const Values<N>& values) {
  constexpr int kStep = kAccess<T, N>;
#pragma unroll
  for (int i = 0; i < N; i += kStep) {
    Pack<T, kStep> pack;
#pragma unroll
    for (int j = 0; j < kStep; ++j) pack.v[j] = from_float<T>(values.v[i + j]);
    store_pack(p + i, pack);
  }
}

// Whether load_values<N> may read at p, for any number of arrays; null counts as allowed.
template <int N, class... T>
bool allows_packs(const T*... p) {
  return (... && (reinterpret_cast<uintptr_t>(p) % (kAccess<T, N> * sizeof(T)) == 0));
}

template <int N>
using Width = std::integral_constant<int, N>;

// Calls body(Width<kWide>{}) or body(Width<1>{}).
template <int kWide, class Body>
void with_width(bool wide, const Body& body) {
  if (wide) {
    body(Width<kWide>{});
  } else {
    body(Width<1>{});
  }
}

inline Grid grid_for(int64_t items) {
  const int64_t blocks = (items + kStreamThreads - 1) / kStreamThreads;
  return Grid{blocks < kMostBlocks ? blocks : kMostBlocks};
}

CONVSMITH_DEVICE int64_t grid_index() {
  return static_cast<int64_t>(blockIdx.x) * kStreamThreads + threadIdx.x;
}
CONVSMITH_DEVICE int64_t grid_step() { return static_cast<int64_t>(gridDim.x) * kStreamThreads; }

// Flat arrays: body(offset, Width<N>) for every whole pack of the grid's share, then
// body(offset, Width<1>) for the elements that are left.
template <int N, class Body>
CONVSMITH_DEVICE void for_packs(int64_t size, const Body& body) {
  const int64_t packs = size / N;
  for (int64_t i = grid_index(); i < packs; i += grid_step()) body(i * N, Width<N>{});
  if (N > 1) {
    const int64_t rest = packs * N + grid_index();
    if (rest < size) body(rest, Width<1>{});
  }
}

// n / divisor for 0 <= n < 2^63, divisor >= 1, as the upper half of a product with
// 2^(64 + shift) / divisor, rounded up (Granlund and Montgomery 1994). The processor has no integer
// division: the compiler's own is a function of a hundred instructions.
struct FastDivide {
  int64_t divisor;
  uint64_t multiplier;
  int shift;
};

__extension__ typedef unsigned __int128 Uint128;

inline FastDivide fast_divide(int64_t divisor) {
  FastDivide result{divisor, 0, 0};
  while ((Uint128{1} << result.shift) < static_cast<Uint128>(divisor)) ++result.shift;
  const Uint128 excess = (Uint128{1} << result.shift) - static_cast<Uint128>(divisor);
  result.multiplier = static_cast<uint64_t>((excess << 64) / static_cast<Uint128>(divisor) + 1);
  return result;
}

CONVSMITH_HOST_DEVICE int64_t divide(int64_t n, const FastDivide& by) {
  const uint64_t value = static_cast<uint64_t>(n);
  const uint64_t high = static_cast<uint64_t>((static_cast<Uint128>(value) * by.multiplier) >> 64);
  return static_cast<int64_t>((high + value) >> by.shift);
}

CONVSMITH_HOST_DEVICE int64_t divide_up(int64_t n, const FastDivide& by) {
  return divide(n + by.divisor - 1, by);
}

// An NHWC array cut into packs: item i holds the elements from i * N on.
struct Pixel {
  int64_t image, row, column, channel;
};
struct PixelSplit {
  FastDivide packs, columns, rows;
  int64_t items;
};

inline PixelSplit split_pixels(int64_t batch, int64_t rows, int64_t columns, int64_t channels,
                               int width) {
  const int64_t packs = channels / width;
  return {fast_divide(packs), fast_divide(columns), fast_divide(rows),
          batch * rows * columns * packs};
}

template <int N>
CONVSMITH_HOST_DEVICE Pixel locate(int64_t item, const PixelSplit& split) {
  const int64_t pixel = divide(item, split.packs);
  const int64_t line = divide(pixel, split.columns);
  const int64_t image = divide(line, split.rows);
  return {image, line - image * split.rows.divisor, pixel - line * split.columns.divisor,
          (item - pixel * split.packs.divisor) * N};
}

}  // namespace convsmith::cuda
