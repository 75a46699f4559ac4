// The 16-bit and TF32 formats, by their bits.
#pragma once

#include <cstdint>
#include <cstring>

namespace convsmith::simt {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline float brain_to_float(uint16_t bits) { return float_of(static_cast<uint32_t>(bits) << 16); }

// To nearest, ties to even; every NaN becomes 0x7FFF, as in CUDA.
inline uint16_t float_to_brain(float value) {
  if (value != value) return 0x7FFF;
  const uint32_t bits = bits_of(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = half >> 10 & 0x1Fu;
  const uint32_t fraction = half & 0x3FFu;
  if (exponent == 0x1F) return float_of(sign | 0x7F800000u | fraction << 13);
  if (exponent != 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  const float tiny = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -tiny : tiny;
}

// To nearest, ties to even, overflow to infinity; every NaN becomes 0x7FFF, as in CUDA.
inline uint16_t float_to_half(float value) {
  if (value != value) return 0x7FFF;
  const uint32_t bits = bits_of(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t size = bits & 0x7FFFFFFFu;
  if (size >= 0x477FF000u) return sign | 0x7C00u;  // 65520 and more
  if (size < 0x38800000u) {
    // Below 2^-14: adding 0.5 puts the unit of the last place at 2^-24 and rounds.
    const float shifted = float_of(size) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = size + 0xFFFu + (size >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}

// 10 bits of fraction, to nearest, ties away from zero; NaN and infinity stay what they are.
inline uint32_t float_to_tf32(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7F800000u) == 0x7F800000u) return bits;
  return (bits + 0x1000u) & 0xFFFFE000u;
}

}  // namespace convsmith::simt
