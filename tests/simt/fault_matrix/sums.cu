// Sums: accumulators that nobody set, tiles left out, tails read as data.
#include "harness.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // planted

namespace convsmith::cuda::faults {
namespace {

constexpr int kThreads = 64;
constexpr int kTile = 16;

// y[row] = sum over k of x[row][k], a tile of k at a time through shared memory.
template <bool StartsAtZero>
__global__ void row_sum_kernel(int depth, int tiles, const float* x, float* y) {
  CONVSMITH_SHARED(float, tile, kThreads* kTile);
  const int row = static_cast<int>(threadIdx.x);
  float sum[1];
  if (StartsAtZero) sum[0] = 0;
  for (int t = 0; t < tiles; ++t) {
    for (int k = 0; k < kTile; ++k) {
      const int column = t * kTile + k;
      tile[row * kTile + k] = column < depth ? x[row * depth + column] : 0.0f;
    }
    sync_block();
    for (int k = 0; k < kTile; ++k) sum[0] += tile[row * kTile + k];
    sync_block();
  }
  y[row] = sum[0];
}

// The tail of the tile keeps what the round before, or nobody, wrote there.
__global__ void stale_tail_kernel(int depth, const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads* kTile);
  const int row = static_cast<int>(threadIdx.x);
  float sum = 0;
  for (int first = 0; first < depth; first += kTile) {
    for (int k = 0; k < kTile; ++k) {
      if (first + k < depth) {
        tile[row * kTile + k] = x[row * depth + first + k];
      } else if (!bad) {
        tile[row * kTile + k] = 0;
      }
    }
    sync_block();
    for (int k = 0; k < kTile; ++k) sum += tile[row * kTile + k];
    sync_block();
  }
  y[row] = sum;
}

// Counts of values, in shared memory.
__global__ void histogram_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(int, counts, 16);
  const int i = static_cast<int>(threadIdx.x);
  if (!bad && i < 16) counts[i] = 0;
  sync_block();
  atomic_add_int(&counts[static_cast<int>(x[i]) + 6], 1);
  sync_block();
  y[i] = static_cast<float>(counts[i % 16]);
}

// Each block sums its part; block 0 adds up. Only correct when launched as two kernels.
__global__ void partial_sums_kernel(const float* x, float* partial, int blocks, float* y,
                                    bool add_up) {
  const int b = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) {
    float sum = 0;
    for (int i = 0; i < kThreads; ++i) sum += x[b * kThreads + i];
    partial[b] = sum;
    if (add_up && b == 0) {
      float total = 0;
      for (int i = 0; i < blocks; ++i) total += partial[i];
      y[0] = total;
    }
  }
}
__global__ void add_up_kernel(const float* partial, int blocks, float* y) {
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < blocks; ++i) total += partial[i];
    y[0] = total;
  }
}

int sum_of_row(int64_t row, int depth) {
  int sum = 0;
  for (int k = 0; k < depth; ++k) sum += value_at(row * depth + k);
  return sum;
}

template <class Launch>
void row_sums(int depth, Launch launch_on) {
  Array<float> x(int64_t{kThreads} * depth, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch_on(x.data(), y.data());
  expect(y, [depth](int64_t row) { return sum_of_row(row, depth); });
}

void uninitialised_accumulator(bool bad) {
  row_sums(40, [bad](const float* x, float* y) {
    launch("row_sum", bad ? row_sum_kernel<false> : row_sum_kernel<true>, Grid{1}, kThreads, 0,
           nullptr, 40, 3, x, y);
  });
}
void skipped_tile(bool bad) {
  row_sums(40, [bad](const float* x, float* y) {
    launch("row_sum", row_sum_kernel<true>, Grid{1}, kThreads, 0, nullptr, 40,
           bad ? 40 / kTile : (40 + kTile - 1) / kTile, x, y);
  });
}
template <int Depth>
void stale_tail(bool bad) {
  row_sums(Depth, [bad](const float* x, float* y) {
    launch("stale_tail", stale_tail_kernel, Grid{1}, kThreads, 0, nullptr, Depth, x, y, bad);
  });
}

void uninitialised_shared(bool bad) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("histogram", histogram_kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, [](int64_t bin) {
    int count = 0;
    for (int i = 0; i < kThreads; ++i) count += value_at(i) + 6 == bin % 16 ? 1 : 0;
    return count;
  });
}

void one_launch_for_two(bool bad) {
  constexpr int kBlocks = 5;
  Array<float> x(kBlocks * kThreads, "x"), partial(kBlocks, "partial"), y(1, "y");
  fill(x, value_at);
  launch("partial_sums", partial_sums_kernel, Grid{kBlocks}, kThreads, 0, nullptr, x.data(),
         partial.data(), kBlocks, y.data(), bad);
  if (!bad) {
    launch("add_up", add_up_kernel, Grid{1}, 32, 0, nullptr, partial.data(), kBlocks, y.data());
  }
  expect(y, [](int64_t) { return sum_of_row(0, kBlocks * kThreads); });
}

}  // namespace

std::vector<Case> sum_cases() {
  return {
      {"uninitialised_accumulator", "result", "", uninitialised_accumulator},
      {"skipped_tile", "result", "", skipped_tile},
      {"tail_of_the_first_tile_not_cleared", "result", "", stale_tail<10>},
      {"tail_of_the_last_tile_not_cleared", "result", "", stale_tail<40>},
      {"uninitialised_shared", "result", "", uninitialised_shared},
      {"one_launch_where_two_are_needed", "result tsan", "", one_launch_for_two},
  };
}

}  // namespace convsmith::cuda::faults
