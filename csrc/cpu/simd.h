// The vector of the instruction set that this unit is compiled for, and the few operations on it
// that plain C++ operators do not give. GCC/Clang vector types: a + b, a * b, a < b, c ? a : b
// work.
//
// Everything is static: an inline function with external linkage would be merged by the linker
// across instruction sets, and a processor without AVX-512 would meet its code.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define CONVSMITH_INLINE static inline __attribute__((always_inline))

namespace convsmith::cpu::CONVSMITH_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
constexpr int kLanes = kVectorBytes / 4;

typedef float Vec __attribute__((vector_size(kVectorBytes)));
typedef int32_t IntVec __attribute__((vector_size(kVectorBytes)));  // also what a comparison gives
typedef float UnalignedVec __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));

CONVSMITH_INLINE Vec load(const float* p) { return *reinterpret_cast<const UnalignedVec*>(p); }
CONVSMITH_INLINE void store(float* p, Vec v) { *reinterpret_cast<UnalignedVec*>(p) = v; }
CONVSMITH_INLINE Vec broadcast(float value) { return value - Vec{}; }

// The first `count` lanes, 0 <= count <= kLanes; lanes beyond read as zero and memory there is not
// touched.
#if defined(__AVX512F__)
CONVSMITH_INLINE Vec load_first(const float* p, int64_t count) {
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
CONVSMITH_INLINE void store_first(float* p, Vec v, int64_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), (__m512)v);
}
#elif defined(__AVX2__)
CONVSMITH_INLINE __m256i first_lanes(int64_t count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
CONVSMITH_INLINE Vec load_first(const float* p, int64_t count) {
  return (Vec)_mm256_maskload_ps(p, first_lanes(count));
}
CONVSMITH_INLINE void store_first(float* p, Vec v, int64_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), (__m256)v);
}
#else
CONVSMITH_INLINE Vec load_first(const float* p, int64_t count) {
  Vec v = {};
  for (int64_t i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
CONVSMITH_INLINE void store_first(float* p, Vec v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) p[i] = v[i];
}
#endif

// NaN in either operand gives NaN where the plain comparison would lose it.
CONVSMITH_INLINE Vec maximum(Vec a, Vec b) { return (a > b) | (a != a) ? a : b; }

// Lanes summed in a fixed order (halves added to each other), so that bits repeat.
CONVSMITH_INLINE float sum_lanes(Vec v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof(v));
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
