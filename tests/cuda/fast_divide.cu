// Division by multiplication against the division of the processor. Prints how many differ.
#include <cstdint>
#include <cstdio>
#include <random>

#include "cuda/streaming.cuh"

using convsmith::cuda::divide;
using convsmith::cuda::fast_divide;
using convsmith::cuda::FastDivide;

namespace {

int64_t wrong = 0;

void compare(int64_t n, int64_t divisor, const FastDivide& by) {
  wrong += divide(n, by) != n / divisor ? 1 : 0;
}

// Around every multiple near both ends, where a rounding of the multiplier shows first.
void compare_at_edges(int64_t divisor, const FastDivide& by) {
  const int64_t last = INT64_MAX / divisor * divisor;
  for (int64_t n : {int64_t{0}, divisor - 1, divisor, last - 1, last, INT64_MAX}) {
    compare(n, divisor, by);
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(7);
  for (int64_t divisor = 1; divisor <= 1000; ++divisor) {
    const FastDivide by = fast_divide(divisor);
    for (int64_t n = 0; n < 3000; ++n) compare(n, divisor, by);
    compare_at_edges(divisor, by);
  }
  for (int i = 0; i < 200000; ++i) {
    const int64_t divisor = static_cast<int64_t>(random() >> (1 + random() % 63)) | 1;
    const int64_t power = int64_t{1} << random() % 63;
    for (int64_t d : {divisor, power}) {
      const FastDivide by = fast_divide(d);
      compare(static_cast<int64_t>(random() >> (1 + random() % 63)), d, by);
      compare_at_edges(d, by);
    }
  }
  std::printf("%lld\n", static_cast<long long>(wrong));
  return wrong != 0;
}
