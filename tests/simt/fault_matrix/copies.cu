// Asynchronous copies: not waited for, waited for too little, over a stage still in use.
#include "harness.h"

namespace convsmith::cuda::faults {
namespace {

constexpr int kThreads = 64;
constexpr int kStages = 3;
constexpr int kTiles = 6;

enum class Fault {
  none,
  no_wait,
  weak_wait,
  no_commit,
  no_barrier_after_wait,
  live_stage_refilled,
  wrong_stage,
  tail_not_waited,
};

// y[i] = sum over tiles of tile[(i + 5) % n]: one thread reads what another copied.
__global__ void pipeline_kernel(const float* x, float* y, Fault fault) {
  CONVSMITH_SHARED(float, stages, kStages * kThreads * 4);
  const int i = static_cast<int>(threadIdx.x);
  const auto fetch = [&](int tile) {
    const bool valid = tile < kTiles;
    copy_async_16(stages + (tile % kStages * kThreads + i) * 4,
                  x + (static_cast<int64_t>(valid ? tile : 0) * kThreads + i) * 4, valid);
    if (fault != Fault::no_commit) copy_async_commit();
  };
  for (int tile = 0; tile < kStages - 1; ++tile) fetch(tile);
  float sum = 0;
  for (int tile = 0; tile < kTiles; ++tile) {
    if (fault == Fault::weak_wait) {
      copy_async_wait<kStages - 1>();
    } else if (fault == Fault::tail_not_waited && tile == kTiles - 1) {
      // The last tile only: the groups behind it are thought to be empty.
    } else if (fault != Fault::no_wait) {
      copy_async_wait<kStages - 2>();
    }
    if (fault != Fault::no_barrier_after_wait) sync_block();
    if (fault == Fault::tail_not_waited) {
      if (tile + kStages - 1 < kTiles) fetch(tile + kStages - 1);
    } else if (fault == Fault::live_stage_refilled) {
      fetch(tile + kStages);  // one tile too far: its stage is the one about to be read
    } else {
      fetch(tile + kStages - 1);
    }
    const int stage = fault == Fault::wrong_stage ? (tile + 1) % kStages : tile % kStages;
    const float* from = stages + (stage * kThreads + (i + 5) % kThreads) * 4;
    sum += from[0] + from[1] + from[2] + from[3];
  }
  y[i] = sum;
}

__global__ void zero_fill_kernel(int rows, const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads * 4);
  const int i = static_cast<int>(threadIdx.x);
  copy_async_16(tile + i * 4, x + static_cast<int64_t>(i) * 4, bad || i < rows);
  copy_async_commit();
  copy_async_wait<0>();
  sync_block();
  y[i] = tile[i * 4] + tile[i * 4 + 3];
}

template <int Bytes>
__global__ void one_copy_kernel(const float* x, float* y, int shared_offset, int global_offset) {
  CONVSMITH_SHARED(float, tile, kThreads * 4 + 4);
  const int i = static_cast<int>(threadIdx.x);
  float* to = tile + i * 4 + shared_offset;
  const float* from = x + i * 4 + global_offset;
  if constexpr (Bytes == 16) copy_async_16(to, from, true);
  if constexpr (Bytes == 8) copy_async_8(to, from, true);
  if constexpr (Bytes == 4) copy_async_4(to, from, true);
  copy_async_commit();
  copy_async_wait<0>();
  y[i] = to[0];
}

__global__ void into_global_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  float* to = bad ? y + i : tile + i;
  copy_async_4(to, x + i, true);
  copy_async_commit();
  copy_async_wait<0>();
  y[i] = *to;
}

int sum_at(int64_t i, int tiles) {
  int sum = 0;
  for (int tile = 0; tile < tiles; ++tile) {
    for (int j = 0; j < 4; ++j) sum += value_at((tile * kThreads + (i + 5) % kThreads) * 4 + j);
  }
  return sum;
}

template <Fault fault>
void pipeline(bool bad) {
  Array<float> x(kTiles * kThreads * 4, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("pipeline", pipeline_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(),
         bad ? fault : Fault::none);
  expect(y, [](int64_t i) { return sum_at(i, kTiles); });
}

void zero_fill(bool bad) {
  constexpr int kRows = 50;
  Array<float> x(kRows * 4, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("zero_fill", zero_fill_kernel, Grid{1}, kThreads, 0, nullptr, kRows, x.data(), y.data(),
         bad);
  expect(y, [](int64_t i) { return i < kRows ? value_at(4 * i) + value_at(4 * i + 3) : 0; });
}

template <int Bytes>
void one_copy(int shared_offset, int global_offset) {
  Array<float> x(kThreads * 4 + 4, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("one_copy", one_copy_kernel<Bytes>, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(),
         shared_offset, global_offset);
  expect(y, [=](int64_t i) { return value_at(4 * i + global_offset); });
}

void into_global(bool bad) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("into_global", into_global_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, value_at);
}

}  // namespace

std::vector<Case> copy_cases() {
  return {
      {"missing_wait", "result", "", pipeline<Fault::no_wait>},
      {"wait_for_one_group_too_few", "result", "", pipeline<Fault::weak_wait>},
      {"missing_commit", "result", "", pipeline<Fault::no_commit>},
      {"missing_barrier_after_wait", "result tsan", "", pipeline<Fault::no_barrier_after_wait>},
      {"live_stage_refilled", "result tsan", "", pipeline<Fault::live_stage_refilled>},
      {"wrong_stage_read", "result", "", pipeline<Fault::wrong_stage>},
      {"last_tile_not_waited_for", "result", "", pipeline<Fault::tail_not_waited>},
      {"copy_past_the_end", "error", "'x' of 800 bytes", zero_fill},
      {"copy_to_misaligned_shared", "error", "misaligned",
       [](bool bad) { one_copy<16>(bad ? 1 : 0, 0); }},
      {"copy_from_misaligned_global", "error", "misaligned",
       [](bool bad) { one_copy<8>(0, bad ? 1 : 2); }},
      {"copy_async_to_global", "error", "not in shared memory", into_global},
  };
}

}  // namespace convsmith::cuda::faults
