// y[i] = a[i] + b[i] for `size` elements.
//
// A thread owns an element. To go on: 16 bytes a thread (load_pack, store_pack), where the
// addresses allow it.
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith::cuda;  // what device.cuh offers: launch, ...

namespace {

constexpr int kThreads = 128;

__global__ void add_kernel(int64_t size, const float* a, const float* b, float* y) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < size) y[i] = a[i] + b[i];
}

}  // namespace

void add(int64_t size, const float* a, const float* b, float* y, Stream stream) {
  launch("add", add_kernel, Grid{(size + kThreads - 1) / kThreads}, kThreads, 0, stream, size, a, b,
         y);
}
