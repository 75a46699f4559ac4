// Barriers: missing, too weak, or not reached by all.
#include "harness.h"

namespace convsmith::cuda::faults {
namespace {

constexpr int kThreads = 96;

__global__ void reverse_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (!bad) sync_block();
  y[i] = tile[kThreads - 1 - i];
}

__global__ void reverse_weakly_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (bad) {
    sync_warp();
  } else {
    sync_block();
  }
  y[i] = tile[kThreads - 1 - i];
}

// Reads a neighbour's value and overwrites its own, several times.
__global__ void rotate_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  float value = x[i];
  for (int step = 0; step < 4; ++step) {
    tile[i] = value;
    sync_block();
    value = tile[(i + 1) % kThreads];
    if (!bad) sync_block();
  }
  y[i] = value;
}

// Within a warp, through shared memory.
__global__ void reverse_lanes_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (!bad) sync_warp();
  y[i] = tile[i ^ 31];
}

__global__ void barrier_in_branch_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (!bad || i < 40) sync_block();
  y[i] = bad ? x[kThreads - 1 - i] : tile[kThreads - 1 - i];
}

__global__ void two_barriers_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (bad && i % 2 == 0) {
    sync_block();
  } else {
    sync_block();
  }
  y[i] = tile[kThreads - 1 - i];
}

__global__ void early_return_kernel(int size, const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  if (bad && i >= size) return;
  if (i < size) tile[i] = x[i];
  sync_block();
  if (i < size) y[i] = tile[size - 1 - i];
}

__global__ void block_against_warp_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  if (bad && lane_id() < 16) {
    sync_warp();
    sync_block();
  } else {
    sync_block();
    if (bad) sync_warp();
  }
  y[i] = tile[kThreads - 1 - i];
}

// Only two of three warps take part in the second barrier; the third spins on through.
__global__ void fewer_barriers_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  const int rounds = bad ? 1 + warp_id() : 3;
  tile[i] = 0;
  for (int round = 0; round < rounds; ++round) {
    tile[i] += x[i];
    sync_block();
  }
  y[i] = tile[i];
}

template <void (*Kernel)(const float*, float*, bool)>
void reversed(bool bad) {
  Array<float> x(kThreads), y(kThreads);
  fill(x, value_at);
  launch("reverse", Kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, [](int64_t i) { return value_at(kThreads - 1 - i); });
}

void rotate(bool bad) {
  Array<float> x(kThreads), y(kThreads);
  fill(x, value_at);
  launch("rotate", rotate_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, [](int64_t i) { return value_at((i + 4) % kThreads); });
}

void reverse_lanes(bool bad) {
  Array<float> x(kThreads), y(kThreads);
  fill(x, value_at);
  launch("reverse_lanes", reverse_lanes_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(),
         bad);
  expect(y, [](int64_t i) { return value_at(i ^ 31); });
}

void early_return(bool bad) {
  constexpr int kSize = 70;
  Array<float> x(kSize), y(kSize);
  fill(x, value_at);
  launch("early_return", early_return_kernel, Grid{1}, kThreads, 0, nullptr, kSize, x.data(),
         y.data(), bad);
  expect(y, [](int64_t i) { return value_at(kSize - 1 - i); });
}

void fewer_barriers(bool bad) {
  Array<float> x(kThreads), y(kThreads);
  fill(x, value_at);
  launch("fewer_barriers", fewer_barriers_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(),
         bad);
  expect(y, [](int64_t i) { return 3 * value_at(i); });
}

}  // namespace

std::vector<Case> barrier_cases() {
  return {
      {"missing_barrier", "result tsan", "", reversed<reverse_kernel>},
      {"warp_barrier_for_block", "result tsan", "", reversed<reverse_weakly_kernel>},
      {"missing_barrier_before_refill", "result tsan", "", rotate},
      {"missing_warp_barrier", "result tsan", "", reverse_lanes},
      {"barrier_in_branch", "error", "divergent barrier", reversed<barrier_in_branch_kernel>},
      {"two_different_barriers", "error", "divergent barrier", reversed<two_barriers_kernel>},
      {"early_return_before_barrier", "error", "divergent barrier", early_return},
      {"warp_waits_while_block_waits", "error", "deadlock", reversed<block_against_warp_kernel>},
      {"fewer_barriers_in_one_warp", "error", "divergent barrier", fewer_barriers},
  };
}

}  // namespace convsmith::cuda::faults
