// y[row, i] = exp(x[row, i]) / sum over j of exp(x[row, j]), rows of `classes` elements. The
// maximum of the row is subtracted first, so that nothing overflows.
//
// A block owns a row: its threads share the elements, and meet in shared memory for the maximum and
// for the sum. To go on: shuffles within a warp instead of most barriers, and several short rows a
// block.
#include <cmath>

#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith::cuda;  // what device.cuh offers: sync_block, launch, ...

namespace {

constexpr int kThreads = 128;

// Joins the values of all threads by halves; every thread gets the result.
template <class Join>
CONVSMITH_DEVICE float join_block(float* values, float own, Join join) {
  const int i = static_cast<int>(threadIdx.x);
  values[i] = own;
  sync_block();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (i < half) values[i] = join(values[i], values[i + half]);
    sync_block();
  }
  const float joined = values[0];
  sync_block();  // before anybody writes the next values
  return joined;
}

struct Maximum {
  CONVSMITH_DEVICE float operator()(float a, float b) const { return maximum(a, b); }
};
struct Sum {
  CONVSMITH_DEVICE float operator()(float a, float b) const { return a + b; }
};

__global__ void softmax_forward_kernel(int64_t classes, const float* x, float* y) {
  CONVSMITH_SHARED(float, values, kThreads);
  x += blockIdx.x * classes;
  y += blockIdx.x * classes;

  float largest = -INFINITY;
  for (int64_t i = threadIdx.x; i < classes; i += kThreads) largest = maximum(largest, x[i]);
  largest = join_block(values, largest, Maximum{});

  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < classes; i += kThreads) sum += expf(x[i] - largest);
  sum = join_block(values, sum, Sum{});

  for (int64_t i = threadIdx.x; i < classes; i += kThreads) y[i] = expf(x[i] - largest) / sum;
}

}  // namespace

void softmax_forward(int64_t rows, int64_t classes, const float* x, float* y, Stream stream) {
  launch("softmax_forward", softmax_forward_kernel, Grid{rows}, kThreads, 0, stream, classes, x, y);
}
