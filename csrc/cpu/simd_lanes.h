// Loops over channels or elements, a vector at a time: the body is written once and gets either a
// WholeVector or, for the tail, a PartVector that touches no memory beyond its count.
//
//   for_vectors(channels, [&](int64_t c, auto lanes) { lanes.store(y + c, lanes.load(x + c)); });
//
// Anonymous namespace and always_inline: nothing here may become a symbol (see simd.h).
#pragma once

#include "cpu/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

typedef int32_t UnalignedIntVec __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
typedef uint32_t UIntVec __attribute__((vector_size(kVectorBytes)));
typedef uint8_t ByteVec __attribute__((vector_size(kLanes)));  // one byte a lane

#define CONVSMITH_MEMBER inline __attribute__((always_inline))

CONVSMITH_INLINE IntVec lane_numbers() {
  IntVec lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

// A byte a lane, widened without a sign (255 stays 255), and back (values from 0 to 255).
// Intrinsics where they exist: GCC 12 takes the vector types through the stack. (Masked, all lanes
// on: it warns of an undefined operand inside its own unmasked ones.)
CONVSMITH_INLINE IntVec load_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  return (IntVec)_mm512_maskz_cvtepu8_epi32(0xffff,
                                            _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (IntVec)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  int32_t packed;
  std::memcpy(&packed, p, sizeof(packed));
#if defined(__x86_64__)
  const __m128i zero = _mm_setzero_si128();
  const __m128i words = _mm_unpacklo_epi8(_mm_cvtsi32_si128(packed), zero);
  return (IntVec)_mm_unpacklo_epi16(words, zero);
#else
  ByteVec bytes;
  std::memcpy(&bytes, &packed, sizeof(bytes));
  return __builtin_convertvector(bytes, IntVec);
#endif
#endif
}
CONVSMITH_INLINE void store_bytes(uint8_t* p, IntVec v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, (__m512i)v));
#elif defined(__x86_64__)
#if defined(__AVX2__)
  const __m128i low = _mm256_castsi256_si128((__m256i)v);
  const __m128i high = _mm256_extracti128_si256((__m256i)v, 1);
#else
  const __m128i low = (__m128i)v, high = low;
#endif
  const __m128i words = _mm_packs_epi32(low, high);
  const __m128i bytes = _mm_packus_epi16(words, words);
  std::memcpy(p, &bytes, kLanes);
#else
  const ByteVec bytes = __builtin_convertvector(v, ByteVec);
  std::memcpy(p, &bytes, sizeof(bytes));
#endif
}

struct WholeVector {
  CONVSMITH_MEMBER Vec load(const float* p) const { return CONVSMITH_ISA::load(p); }
  CONVSMITH_MEMBER void store(float* p, Vec v) const { CONVSMITH_ISA::store(p, v); }
  CONVSMITH_MEMBER Vec load_or(const float* p, float) const { return CONVSMITH_ISA::load(p); }
  CONVSMITH_MEMBER Vec keep(Vec v) const { return v; }

  CONVSMITH_MEMBER IntVec load_index(const int32_t* p) const {
    return *reinterpret_cast<const UnalignedIntVec*>(p);
  }
  CONVSMITH_MEMBER void store_index(int32_t* p, IntVec v) const {
    *reinterpret_cast<UnalignedIntVec*>(p) = v;
  }
  CONVSMITH_MEMBER IntVec load_index(const uint8_t* p) const { return load_bytes(p); }
  CONVSMITH_MEMBER void store_index(uint8_t* p, IntVec v) const { store_bytes(p, v); }
};

struct PartVector {
  int64_t count;  // 1 to kLanes - 1

  CONVSMITH_MEMBER Vec load(const float* p) const { return load_first(p, count); }
  CONVSMITH_MEMBER void store(float* p, Vec v) const { store_first(p, v, count); }
  // Lanes beyond the count read as `rest`.
  CONVSMITH_MEMBER Vec load_or(const float* p, float rest) const {
    return lane_numbers() < static_cast<int32_t>(count) ? load_first(p, count) : broadcast(rest);
  }
  // Zero in the lanes beyond the count.
  CONVSMITH_MEMBER Vec keep(Vec v) const {
    return lane_numbers() < static_cast<int32_t>(count) ? v : Vec{};
  }

  template <class Index>
  CONVSMITH_MEMBER IntVec load_index(const Index* p) const {
    IntVec v = {};
    for (int64_t i = 0; i < count; ++i) v[i] = p[i];
    return v;
  }
  template <class Index>
  CONVSMITH_MEMBER void store_index(Index* p, IntVec v) const {
    for (int64_t i = 0; i < count; ++i) p[i] = static_cast<Index>(v[i]);
  }
};

template <class Body>
CONVSMITH_INLINE void for_vectors(int64_t size, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, WholeVector{});
  if (i < size) body(i, PartVector{size - i});
}

// The largest lane; a NaN in any lane gives NaN.
CONVSMITH_INLINE float max_lanes(Vec v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof(v));
  float best = lanes[0];
  for (int i = 1; i < kLanes; ++i) best = lanes[i] > best ? lanes[i] : best;
  for (int i = 0; i < kLanes; ++i) best = lanes[i] != lanes[i] ? lanes[i] : best;
  return best;
}

}  // namespace
}  // namespace convsmith::cpu::CONVSMITH_ISA
