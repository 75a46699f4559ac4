// Elementary functions on vectors, and the activations made of them.
//
// exp, log and tanh are range reductions with the minimax polynomials of Cephes (S. Moshier,
// expf.c, logf.c, tanhf.c): within about 2 ulp of the true value over all floats, denormal results
// included; infinities and NaN come out as from libm.
#pragma once

#include "cpu/simd_lanes.h"
#include "shapes.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr float kLog2E = 1.44269504088896341f;
// ln 2 in two parts; the first has few bits, so that its product with an exponent is exact.
constexpr float kLn2High = 0.693359375f;
constexpr float kLn2Low = -2.12194440e-4f;

CONVSMITH_INLINE Vec absolute(Vec v) { return (Vec)((IntVec)v & 0x7fffffff); }
CONVSMITH_INLINE Vec with_sign_of(Vec magnitude, Vec sign) {
  return (Vec)((IntVec)magnitude | ((IntVec)sign & static_cast<int32_t>(0x80000000u)));
}

CONVSMITH_INLINE Vec square_root(Vec v) {
#if defined(__AVX512F__)
  // Masked with all lanes on: GCC warns of an undefined operand in its own unmasked one.
  return (Vec)_mm512_maskz_sqrt_ps(0xffff, (__m512)v);
#elif defined(__AVX2__)
  return (Vec)_mm256_sqrt_ps((__m256)v);
#elif defined(__x86_64__)
  return (Vec)_mm_sqrt_ps((__m128)v);
#elif defined(__aarch64__)
  return (Vec)vsqrtq_f32((float32x4_t)v);
#else
  for (int i = 0; i < kLanes; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}

// e^x = 2^n e^r with |r| <= ln(2) / 2.
CONVSMITH_INLINE Vec exponential(Vec x) {
  // Beyond these the result is inf or 0 anyway; written so that NaN stays NaN.
  x = x > 89.0f ? broadcast(89.0f) : x;
  x = x < -104.0f ? broadcast(-104.0f) : x;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  constexpr float kRound = 12582912.0f;
  const Vec rounded = x * kLog2E + kRound;
  const Vec n = rounded - kRound;
  const Vec r = (x - n * kLn2High) - n * kLn2Low;
  Vec p = broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * (r * r) + r) + 1.0f;
  // 2^n in two factors: n reaches -150, where a single factor would be denormal or zero.
  const IntVec exponent = (IntVec)((UIntVec)rounded - 0x4b400000u);
  const IntVec half = exponent >> 1;
  const Vec scale_a = (Vec)(((UIntVec)half + 127u) << 23);
  const Vec scale_b = (Vec)((((UIntVec)exponent - (UIntVec)half) + 127u) << 23);
  return (p * scale_a) * scale_b;
}

// ln x = e ln 2 + ln m with sqrt(1/2) <= m < sqrt(2).
CONVSMITH_INLINE Vec logarithm(Vec x) {
  constexpr float kSmallestNormal = 1.17549435e-38f;
  const IntVec denormal = x < kSmallestNormal;
  const Vec normal = denormal ? x * 8388608.0f : x;  // 2^23
  // Cutting the bits at sqrt(1/2) puts the mantissa into the wanted range at once.
  const UIntVec shifted = (UIntVec)normal - 0x3f3504f3u;
  const IntVec e = ((IntVec)shifted >> 23) - (denormal & 23);
  const Vec m = (Vec)((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const Vec exponent = __builtin_convertvector(e, Vec);
  const Vec z = m * m;
  Vec p = broadcast(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * z + exponent * kLn2Low - 0.5f * z;
  Vec result = (m + p) + exponent * kLn2High;
  result = x == __builtin_inff() ? x : result;
  result = x == 0.0f ? broadcast(-__builtin_inff()) : result;
  // Negative or NaN.
  return x >= 0.0f ? result : broadcast(__builtin_nanf(""));
}

CONVSMITH_INLINE Vec hyperbolic_tangent(Vec x) {
  const Vec z = x * x;
  Vec p = broadcast(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const Vec near_zero = p * z * x + x;
  const Vec magnitude = absolute(x);
  const Vec far = with_sign_of(1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f), x);
  return magnitude < 0.625f ? near_zero : far;
}

// The logistic function and its complement 1 - sigmoid(x), neither by a subtraction.
struct Logistic {
  Vec value, complement;
};
CONVSMITH_INLINE Logistic logistic(Vec x) {
  const Vec e = exponential(-absolute(x));  // never overflows
  const Vec one_over = 1.0f / (1.0f + e);
  const Vec small = e * one_over;
  return {x < 0.0f ? small : one_over, x < 0.0f ? one_over : small};
}

// activation(x). Comparisons are written so that NaN passes through.
template <Activation kKind>
CONVSMITH_INLINE Vec activate(Vec x, float negative_slope) {
  if constexpr (kKind == Activation::relu) return x <= 0.0f ? Vec{} : x;
  if constexpr (kKind == Activation::leaky_relu) return x > 0.0f ? x : x * negative_slope;
  if constexpr (kKind == Activation::sigmoid) return logistic(x).value;
  if constexpr (kKind == Activation::tanh) return hyperbolic_tangent(x);
  if constexpr (kKind == Activation::silu) return x * logistic(x).value;
  if constexpr (kKind == Activation::hardswish) {
    Vec gate = x + 3.0f;
    gate = gate < 0.0f ? Vec{} : gate;
    gate = gate > 6.0f ? broadcast(6.0f) : gate;
    return x * gate / 6.0f;
  }
  return x;
}

// dy * activation'(x), from saved = y, but from saved = x for silu and hardswish. Where there is no
// derivative the value is PyTorch's: 0 at relu's kink, the slope at leaky_relu's.
template <Activation kKind>
CONVSMITH_INLINE Vec activate_backward(Vec dy, Vec saved, float negative_slope) {
  if constexpr (kKind == Activation::relu) return saved <= 0.0f ? Vec{} : dy;
  if constexpr (kKind == Activation::leaky_relu) return saved > 0.0f ? dy : dy * negative_slope;
  if constexpr (kKind == Activation::sigmoid) return dy * saved * (1.0f - saved);
  if constexpr (kKind == Activation::tanh) return dy * (1.0f - saved * saved);
  if constexpr (kKind == Activation::silu) {
    const Logistic gate = logistic(saved);
    return dy * gate.value * (1.0f + saved * gate.complement);
  }
  if constexpr (kKind == Activation::hardswish) {
    const Vec slope = saved < 3.0f ? saved / 3.0f + 0.5f : broadcast(1.0f);
    return dy * (saved <= -3.0f ? Vec{} : slope);
  }
  return dy;
}

}  // namespace
}  // namespace convsmith::cpu::CONVSMITH_ISA
