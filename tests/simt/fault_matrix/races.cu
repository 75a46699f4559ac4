// Races whose result may be right by luck: the order of threads or blocks decides, or nothing does
// on this executor, which runs one thread at a time; then only the race checker sees them.
#include "harness.h"

namespace convsmith::cuda::faults {
namespace {

constexpr int kThreads = 64;
constexpr int kBlocks = 4;

__global__ void overwrite_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  const int block = static_cast<int>(blockIdx.x);
  // All blocks write the row of block 0.
  y[(bad ? 0 : block * kThreads) + i] = x[block * kThreads + i];
  if (bad && block == kBlocks - 1) {
    for (int b = 1; b < kBlocks; ++b) y[b * kThreads + i] = x[b * kThreads + i];
  }
}

__global__ void accumulate_kernel(const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  const int block = static_cast<int>(blockIdx.x);
  if (bad) {
    y[i] += x[block * kThreads + i];
  } else if (block == 0) {
    for (int b = 0; b < kBlocks; ++b) y[i] += x[b * kThreads + i];
  }
}

__global__ void count_kernel(float* y, bool bad) {
  CONVSMITH_SHARED(int, count, 1);
  if (threadIdx.x == 0) count[0] = 0;
  sync_block();
  if (bad) {
    count[0] += 1;
  } else {
    atomic_add_int(count, 1);
  }
  sync_block();
  y[threadIdx.x] = static_cast<float>(count[0]);
}

// Every thread writes the same value to one place: right here, undefined in the language.
__global__ void overlap_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads + 1);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  // The halo belongs to the last thread; each thread fetching "its right neighbour" writes it too.
  if (bad || i == kThreads - 1) tile[i + 1] = i + 1 < kThreads ? x[i + 1] : 0.0f;
  sync_block();
  y[i] = tile[i] + tile[i + 1];
}

// A flag in shared memory read by the others without a barrier in between, then a barrier.
__global__ void late_flag_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(int, flag, 1);
  const int i = static_cast<int>(threadIdx.x);
  if (i == 0) flag[0] = 1;
  if (!bad) sync_block();
  const bool seen = flag[0] == 1;
  sync_block();
  y[i] = seen ? x[i] : 0.0f;
}

// Results of a warp reduction handed to warp 0 through shared memory.
__global__ void block_sum_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, of_warp, kThreads / 32);
  const int i = static_cast<int>(threadIdx.x);
  float sum = x[i];
  for (int step = 16; step > 0; step /= 2) sum += shuffle_xor(sum, step);
  if (lane_id() == 0) of_warp[warp_id()] = sum;
  if (!bad) sync_block();
  float total = 0;
  for (int w = 0; w < kThreads / 32; ++w) total += of_warp[w];
  y[i] = total;
}

template <class Kernel, class Wanted>
void run_blocks(Kernel kernel, bool bad, int64_t outputs, Wanted wanted) {
  Array<float> x(kBlocks * kThreads, "x"), y(outputs, "y");
  fill(x, value_at);
  fill(y, [](int64_t) { return 0; });
  launch("blocks", kernel, Grid{kBlocks}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, wanted);
}
template <class Kernel, class Wanted>
void run_block(Kernel kernel, bool bad, Wanted wanted) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("block", kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, wanted);
}

int over_blocks(int64_t i) {
  int sum = 0;
  for (int b = 0; b < kBlocks; ++b) sum += value_at(b * kThreads + i);
  return sum;
}

void count(bool bad) {
  Array<float> y(kThreads, "y");
  launch("count", count_kernel, Grid{1}, kThreads, 0, nullptr, y.data(), bad);
  expect(y, [](int64_t) { return kThreads; });
}

}  // namespace

std::vector<Case> race_cases() {
  return {
      {"blocks_write_one_place", "result tsan", "",
       [](bool bad) { run_blocks(overwrite_kernel, bad, kBlocks * kThreads, value_at); }},
      {"blocks_add_to_one_place", "tsan", "",
       [](bool bad) { run_blocks(accumulate_kernel, bad, kThreads, over_blocks); }},
      {"count_without_atomic", "tsan", "", count},
      {"neighbours_write_one_place", "tsan", "",
       [](bool bad) {
         run_block(overlap_kernel, bad, [](int64_t i) {
           return value_at(i) + (i + 1 < kThreads ? value_at(i + 1) : 0);
         });
       }},
      {"flag_without_barrier", "result tsan", "",
       [](bool bad) { run_block(late_flag_kernel, bad, value_at); }},
      {"warp_sums_without_barrier", "result tsan", "",
       [](bool bad) {
         run_block(block_sum_kernel, bad, [](int64_t) {
           int sum = 0;
           for (int i = 0; i < kThreads; ++i) sum += value_at(i);
           return sum;
         });
       }},
  };
}

}  // namespace convsmith::cuda::faults
