// Kernels over the rows of [rows, channels] that keep something per channel: how blocks share such
// an array, and how a block adds up its columns.
//
// Channels lie across the threads: `lanes` neighbouring threads take the packs of one row, the next
// `lanes` threads another row, so that few channels put many rows into one warp and every load of a
// block is one consecutive piece of memory (3 channels: 85 rows of 3). Many channels are cut into
// panels. A thread meets the same channels in all its rows, so that what belongs to a channel is
// loaded once. Blocks [0, row_blocks) share the rows of panel 0, the next ones those of panel 1.
#pragma once

#include "cuda/streaming.cuh"

namespace convsmith::cuda {

constexpr int kMostLanes = 64;

struct ChannelRows {
  int64_t rows, channels, packs;
  int lanes, depth;  // lanes * depth <= kStreamThreads
  uint32_t row_blocks, panels;
  int64_t rounds;  // rows of a thread, when all blocks stride through the rows together
};

// What a thread works on: the packs at `channel` of rows d, d + depth, ...
struct Place {
  uint32_t row_block, panel;
  int lane, d;
  int64_t channel;
  bool works;
};

template <int N>
ChannelRows channel_rows(int64_t rows, int64_t channels, int64_t most_row_blocks,
                         int64_t rows_per_thread) {
  constexpr int kLanes = kMostLanes < kStreamThreads / N ? kMostLanes : kStreamThreads / N;
  ChannelRows r{};
  r.rows = rows;
  r.channels = channels;
  r.packs = channels / N;
  const int64_t panels = (r.packs + kLanes - 1) / kLanes;
  r.lanes = static_cast<int>((r.packs + panels - 1) / panels);
  r.depth = kStreamThreads / r.lanes;
  const int64_t share = r.depth * rows_per_thread;
  const int64_t wanted = (rows + share - 1) / share;
  const int64_t most = most_row_blocks / panels > 1 ? most_row_blocks / panels : 1;
  r.row_blocks = static_cast<uint32_t>(wanted < most ? wanted : most);
  r.panels = static_cast<uint32_t>(panels);
  const int64_t step = r.row_blocks * static_cast<int64_t>(r.depth);
  r.rounds = step > 0 ? (rows + step - 1) / step : 0;
  return r;
}

inline Grid grid_of(const ChannelRows& r) {
  return Grid{static_cast<int64_t>(r.row_blocks) * r.panels};
}

template <int N>
CONVSMITH_DEVICE Place place_of(const ChannelRows& r) {
  Place place;
  place.panel = blockIdx.x / r.row_blocks;
  place.row_block = blockIdx.x - place.panel * r.row_blocks;
  const int thread = static_cast<int>(threadIdx.x);
  place.d = thread / r.lanes;
  place.lane = thread - place.d * r.lanes;
  const int64_t pack = static_cast<int64_t>(place.panel) * r.lanes + place.lane;
  place.channel = pack * N;
  place.works = place.d < r.depth && pack < r.packs;
  return place;
}

// body(offset) for the packs of this thread, in a pass where all blocks stride through the rows
// together. The number of rounds comes from the host: unrolling would divide to find it.
template <int kUnroll, class Body>
CONVSMITH_DEVICE void for_rows(const ChannelRows& r, const Place& place, const Body& body) {
  const int64_t step = static_cast<int64_t>(r.row_blocks) * r.depth;
  int64_t row = static_cast<int64_t>(place.row_block) * r.depth + place.d;
  int64_t offset = row * r.channels + place.channel;
#pragma unroll(kUnroll)
  for (int64_t round = 0; round < r.rounds; ++round) {
    if (row < r.rows) body(offset);
    row += step;
    offset += step * r.channels;
  }
}

// Every thread's `values` into sums[d][lane * N + j]; then row 0 becomes the sum over d, as a tree
// that depends on the depth alone. kSums arrays of kStreamThreads * N floats, one after another.
// Element i of row 0 is written by thread i: for any other to read it takes a barrier.
template <int N, int kSums>
CONVSMITH_DEVICE void add_up_columns(const ChannelRows& r, const Place& place,
                                     const Values<N> (&values)[kSums], float* sums) {
  constexpr int kArray = kStreamThreads * N;
  const int thread = static_cast<int>(threadIdx.x);
  sync_block();  // whoever read the last sums is done
  if (place.d < r.depth) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
#pragma unroll
      for (int j = 0; j < N; ++j) sums[s * kArray + thread * N + j] = values[s].v[j];
    }
  }
  const int width = r.lanes * N;
  for (int count = r.depth; count > 1;) {
    const int half = (count + 1) / 2;
    sync_block();
    for (int i = thread; i < (count - half) * width; i += kStreamThreads) {
#pragma unroll
      for (int s = 0; s < kSums; ++s) sums[s * kArray + i] += sums[s * kArray + i + half * width];
    }
    count = half;
  }
}

}  // namespace convsmith::cuda
