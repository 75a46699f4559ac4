// Warp operations: lanes that are absent, that come to another place, or that give the wrong value.
#include "harness.h"

namespace convsmith::cuda::faults {
namespace {

CONVSMITH_DEVICE float sum_of_warp(float value, int first_step) {
  for (int step = first_step; step > 0; step /= 2) value += shuffle_xor(value, step);
  return value;
}

__global__ void sum_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = sum_of_warp(x[i], bad ? 8 : 16);
}

__global__ void sum_some_lanes_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  if (bad && lane_id() >= 24) {
    y[i] = 0;
    return;
  }
  y[i] = sum_of_warp(x[i], 16);
}

__global__ void broadcast_kernel(const float* x, float* y, int source) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = shuffle(x[i], source);
}

__global__ void two_places_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  if (bad && lane_id() % 2 == 0) {
    y[i] = shuffle(x[i], 0);
  } else {
    y[i] = shuffle(x[i], 0);
  }
}

__global__ void vote_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  const bool positive = x[i] > 0;
  // all() where any() is meant.
  y[i] = (bad ? all(positive) : any(positive)) ? 1 : 0;
}

__global__ void half_warp_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, 32);
  const int lane = lane_id();
  if (lane < 16) {
    tile[lane] = x[lane];
    sync_warp(bad ? 0xffff0000u : 0x0000ffffu);
    y[lane] = tile[lane ^ 15];
  } else {
    y[lane] = x[lane];
  }
}

__global__ void overlapping_masks_kernel(const float* x, float* y, bool bad) {
  const int lane = lane_id();
  if (lane < 16) {
    sync_warp(0x0000ffffu);
  } else {
    sync_warp(bad ? 0xffffff00u : 0xffff0000u);
  }
  sync_block();
  y[lane] = x[lane];
}

// The sum of each lane and those above it.
__global__ void suffix_sum_kernel(const float* x, float* y, bool bad) {
  float value = x[lane_id()];
  for (int step = 1; step < 32; step *= 2) {
    const float above = shuffle_down(value, step);
    if (bad || lane_id() + step < 32) value += above;
  }
  y[lane_id()] = value;
}

float sum_of_all() {
  float sum = 0;
  for (int i = 0; i < 32; ++i) sum += static_cast<float>(value_at(i));
  return sum;
}

template <class... Params, class... Args>
void run_warp(void (*kernel)(const float*, float*, Params...), int threads,
              float (*wanted)(int64_t), Args... args) {
  Array<float> x(threads), y(threads);
  fill(x, value_at);
  launch("warp", kernel, Grid{1}, threads, 0, nullptr, x.data(), y.data(), args...);
  expect(y, wanted);
}

float same(int64_t i) { return static_cast<float>(value_at(i)); }
float first(int64_t) { return static_cast<float>(value_at(0)); }
float total(int64_t) { return sum_of_all(); }
float one(int64_t) { return 1; }
float half_reversed(int64_t i) { return static_cast<float>(value_at(i < 16 ? i ^ 15 : i)); }
float suffix(int64_t i) {
  float sum = 0;
  for (int64_t j = i; j < 32; ++j) sum += static_cast<float>(value_at(j));
  return sum;
}

}  // namespace

std::vector<Case> warp_cases() {
  return {
      {"reduction_skips_a_step", "result", "",
       [](bool bad) { run_warp(sum_kernel, 32, total, bad); }},
      {"lanes_left_before_shuffle", "error", "",
       [](bool bad) { run_warp(sum_some_lanes_kernel, 32, total, bad); }},
      {"shuffle_in_partial_warp", "error", "absent lane",
       [](bool bad) { run_warp(broadcast_kernel, bad ? 48 : 32, first, 0); }},
      {"shuffle_from_lane_32", "error", "absent lane",
       [](bool bad) { run_warp(broadcast_kernel, 32, first, bad ? 32 : 0); }},
      {"shuffle_at_two_places", "error", "divergent warp",
       [](bool bad) { run_warp(two_places_kernel, 32, first, bad); }},
      {"all_for_any", "result", "", [](bool bad) { run_warp(vote_kernel, 32, one, bad); }},
      {"mask_without_the_own_lane", "error", "do not include this lane",
       [](bool bad) { run_warp(half_warp_kernel, 32, half_reversed, bad); }},
      {"overlapping_masks", "error", "sync_warp",
       [](bool bad) { run_warp(overlapping_masks_kernel, 32, same, bad); }},
      {"shuffle_down_past_the_last_lane", "result", "",
       [](bool bad) { run_warp(suffix_sum_kernel, 32, suffix, bad); }},
  };
}

}  // namespace convsmith::cuda::faults
