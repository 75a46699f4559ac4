// y[i] = a[i] + b[i] for `size` elements. Bound by memory: to go on, threads.
#include <cstdint>

void add(int64_t size, const float* a, const float* b, float* y) {
  for (int64_t i = 0; i < size; ++i) y[i] = a[i] + b[i];
}
