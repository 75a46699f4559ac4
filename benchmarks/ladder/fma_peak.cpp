// The multiply-adds that one core can do: 12 chains, enough to hide their latency, nothing else.
// The factors are arguments and the chains start differently, or the compiler would leave some out.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;

CONVSMITH_RUNG fma_peak(int64_t rounds, float factor_of_all, float addend_of_all, float* result,
                        int64_t* flop) {
  constexpr int kChains = 12;
  const Vec factor = broadcast(factor_of_all), addend = broadcast(addend_of_all);
  Vec sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = broadcast(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = sums[i] * factor + addend;
  }
  Vec total = {};
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) total += sums[i];
  *result = sum_lanes(total);
  *flop = rounds * kChains * kLanes * 2;
}
