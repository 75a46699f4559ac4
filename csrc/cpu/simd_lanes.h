// Loops over channels or elements, a vector at a time: the body is written once and gets either a
// WholeVector or, for the tail, a PartVector that touches no memory beyond its count.
//
//   for_vectors(channels, [&](int64_t c, auto lanes) { lanes.store(y + c, lanes.load(x + c)); });
//
// Anonymous namespace and always_inline: nothing here may become a symbol (see simd.h).
#pragma once

#include "cpu/simd.h"

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
  // Bytes widen without a sign: 255 stays 255.
  CONVSMITH_MEMBER IntVec load_index(const uint8_t* p) const {
    ByteVec bytes;
    std::memcpy(&bytes, p, sizeof(bytes));
    return __builtin_convertvector(bytes, IntVec);
  }
  CONVSMITH_MEMBER void store_index(uint8_t* p, IntVec v) const {
    const ByteVec bytes = __builtin_convertvector(v, ByteVec);
    std::memcpy(p, &bytes, sizeof(bytes));
  }
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
