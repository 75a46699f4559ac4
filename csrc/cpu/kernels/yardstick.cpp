// What the machine can do, measured by the simplest code that can reach it: the limits that
// `convsmith bench` holds the kernels against. Computes nothing of use.
#include <cstdint>

#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// A multiply-add takes 4 or 5 cycles and two start in each, so 10 chains keep the units busy; 12
// and two constants still fit the 16 registers of AVX2.
constexpr int kChains = 12;
constexpr int64_t kGrain = 1 << 18;  // 1 MB of an array a task

// Past the caches: an ordinary store would first read the line that it overwrites. p is aligned.
CONVSMITH_INLINE void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__x86_64__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}

void copy(int64_t size, const float* x, float* y) {
  int64_t i = 0;
  while (i < size && reinterpret_cast<uintptr_t>(y + i) % kVectorBytes != 0) {
    y[i] = x[i];
    ++i;
  }
  for (; i + kLanes <= size; i += kLanes) stream(y + i, load(x + i));
  for (; i < size; ++i) y[i] = x[i];
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace

void yardstick_multiply_add(int threads, int64_t rounds, float factor, float addend, float* sums,
                            int64_t* flop) {
  parallel_for(threads, threads, [=](int64_t task, int) {
    const Vec a = broadcast(factor), b = broadcast(addend);
    Vec chain[kChains];
    for (int c = 0; c < kChains; ++c) chain[c] = broadcast(addend * static_cast<float>(c));
    for (int64_t round = 0; round < rounds; ++round) {
      for (int c = 0; c < kChains; ++c) chain[c] = chain[c] * a + b;
    }
    for (int c = 1; c < kChains; ++c) chain[0] += chain[c];
    sums[task] = sum_lanes(chain[0]);
  });
  *flop = 2 * rounds * kChains * kLanes * threads;
}

void yardstick_copy(int64_t size, const float* x, float* y) {
  parallel_ranges(size, kGrain,
                  [=](int64_t begin, int64_t end) { copy(end - begin, x + begin, y + begin); });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
