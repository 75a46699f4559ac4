// The multiply-adds that one core can do: 12 chains, enough to hide their latency, nothing else.
#include "rung.h"

using namespace convsmith::cpu::CONVSMITH_ISA;

CONVSMITH_RUNG fma_peak(int64_t rounds, float* result, int64_t* flop) {
  constexpr int kChains = 12;
  const Vec factor = broadcast(0.999f), addend = broadcast(1e-3f);
  Vec sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i)
    sums[i] = broadcast(static_cast<float>(i));  // else they are one
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
