// C[m, n] = sum_k A[m, k] B[k, n] with float arithmetic on the ordinary units, for every operand
// source: the block of work behind the direct kernels of gemm and convolution.
//
// A block computes a BM x BN tile, each thread TM x TN of it in registers: 64 multiply-adds feed on
// 16 numbers read from shared memory, which keeps the multipliers busy instead of the memory. Tiles
// of A and B lie in shared memory depth by depth, as float whatever the storage, in two buffers:
// the next tile travels through registers while the current one is multiplied, so one barrier a
// step suffices. At the end the accumulators pass row by row through the same shared memory, so
// that stores are contiguous and the epilogue is compiled once, not once per accumulator.
#pragma once

#include "cuda/gemm_output.cuh"
#include "cuda/tile_table.h"

namespace convsmith::cuda {

// Moves one tile of kLines x kDepth elements from a source, V at a time, through registers.
template <class Source, int kLines, int kDepth, int V, int kThreads>
struct TileLoader {
  using T = typename Source::Element;
  static constexpr bool kAlongDepth = Source::kDepthContiguous;
  static constexpr int kAcross = (kAlongDepth ? kDepth : kLines) / V;  // packs side by side
  static constexpr int kPacks = kLines * kDepth / V;
  static constexpr int kPerThread = (kPacks + kThreads - 1) / kThreads;
  static constexpr int kSourceLines = kAlongDepth ? kPerThread : 1;
  static constexpr int kSourceDepths = kAlongDepth ? 1 : kPerThread;
  static_assert((kAlongDepth ? kDepth : kLines) % V == 0, "packs must not cross the tile");
  static_assert(kThreads % kAcross == 0, "a thread keeps its place across, pack after pack");

  typename Source::Line lines[kSourceLines];
  typename Source::Depth depths[kSourceDepths];
  Pack<T, V> packs[kPerThread];

  // Place of this thread's pack i inside the tile.
  CONVSMITH_DEVICE static int pack_index(int i) {
    return static_cast<int>(threadIdx.x) + i * kThreads;
  }
  CONVSMITH_DEVICE static bool has_pack(int i) {
    return kPacks % kThreads == 0 || pack_index(i) < kPacks;
  }
  CONVSMITH_DEVICE static int tile_line(int i) {
    return kAlongDepth ? pack_index(i) / kAcross : pack_index(i) % kAcross * V;
  }
  CONVSMITH_DEVICE static int tile_depth(int i) {
    return kAlongDepth ? pack_index(i) % kAcross * V : pack_index(i) / kAcross;
  }

  CONVSMITH_DEVICE void begin(const Source& source, int64_t first_line, int64_t first_depth) {
#pragma unroll
    for (int i = 0; i < kSourceLines; ++i) lines[i] = source.line(first_line + tile_line(i));
#pragma unroll
    for (int i = 0; i < kSourceDepths; ++i) depths[i] = source.depth(first_depth + tile_depth(i));
  }

  CONVSMITH_DEVICE void load(const Source& source) {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      bool exists;
      const int64_t offset =
          source.offset(lines[kAlongDepth ? i : 0], depths[kAlongDepth ? 0 : i], exists);
      packs[i] = Pack<T, V>{};
      if (exists && has_pack(i)) packs[i] = load_pack<V>(source.data + offset);
    }
#pragma unroll
    for (int i = 0; i < kSourceDepths; ++i) source.advance(depths[i]);
  }

  // shared: kDepth rows of kPitch floats.
  template <int kPitch>
  CONVSMITH_DEVICE void store(float* shared) const {
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      if (!has_pack(i)) continue;
      float* const to = shared + tile_depth(i) * kPitch + tile_line(i);
      if constexpr (!kAlongDepth && V == 4) {
        Pack<float, 4> floats;
#pragma unroll
        for (int j = 0; j < V; ++j) floats.v[j] = to_float(packs[i].v[j]);
        store_pack(to, floats);
      } else {
#pragma unroll
        for (int j = 0; j < V; ++j) to[kAlongDepth ? j * kPitch : j] = to_float(packs[i].v[j]);
      }
    }
  }
};

// The rows (or columns) of a thread: groups of four neighbours, kSize / kGroups apart.
template <int kSize, int kCount>
CONVSMITH_DEVICE int piece_index(int place, int i) {
  return i / 4 * (kSize / (kCount / 4)) + place * 4 + i % 4;
}

template <class Tile, int V, class T, class SourceA, class SourceB>
CONVSMITH_DEVICE void direct_gemm_block(const GemmProblem<T>& problem, SourceA a, SourceB b) {
  constexpr int BM = Tile::BM, BN = Tile::BN, BK = Tile::BK, TM = Tile::TM, TN = Tile::TN;
  constexpr int kThreads = Tile::kThreads;
  constexpr int kPitchA = BM + 4, kPitchB = BN + 4;  // + 4: transposing stores hit all banks
  constexpr int kBuffer = BK * (kPitchA + kPitchB);
  constexpr int kStage = Tile::kThreadsM * BN;  // one row of every thread
  CONVSMITH_SHARED(float, memory, (2 * kBuffer > kStage ? 2 * kBuffer : kStage));

  const BlockTask task = block_task(problem);
  const int64_t first_m = task.row * BM, first_n = task.column * BN;
  const int64_t first_k = task.split * problem.k_per_split;
  const int64_t depth = smaller(problem.k_per_split, problem.gemm_k - first_k);
  const int64_t steps = divide_up(depth, BK);
  a.data += task.group * a.group_stride;
  b.data += task.group * b.group_stride;

  // Warps are 4 x 8 threads: their reads of shared memory need one wavefront per vector.
  constexpr int kWarpsN = Tile::kThreadsN / 8;
  const int place_m = warp_id() / kWarpsN * 4 + lane_id() / 8;
  const int place_n = warp_id() % kWarpsN * 8 + lane_id() % 8;

  TileLoader<SourceA, BM, BK, V, kThreads> load_a;
  TileLoader<SourceB, BN, BK, V, kThreads> load_b;
  load_a.begin(a, first_m, first_k);
  load_b.begin(b, first_n, first_k);

  float sums[TM][TN];
#pragma unroll
  for (int i = 0; i < TM; ++i) {
#pragma unroll
    for (int j = 0; j < TN; ++j) sums[i][j] = 0.0f;
  }
  if (steps > 0) {
    load_a.load(a);
    load_b.load(b);
    load_a.template store<kPitchA>(memory);
    load_b.template store<kPitchB>(memory + BK * kPitchA);
    sync_block();
  }
  int buffer = 0;
#pragma unroll 1
  for (int64_t step = 0; step < steps; ++step) {
    const bool more = step + 1 < steps;
    if (more) {
      load_a.load(a);
      load_b.load(b);
    }
    const float* const tile_a = memory + buffer * kBuffer;
    const float* const tile_b = tile_a + BK * kPitchA;
#pragma unroll
    for (int k = 0; k < BK; ++k) {
      Pack<float, 4> column[TM / 4], row[TN / 4];
#pragma unroll
      for (int i = 0; i < TM / 4; ++i) {
        column[i] = load_pack<4>(tile_a + k * kPitchA + piece_index<BM, TM>(place_m, 4 * i));
      }
#pragma unroll
      for (int j = 0; j < TN / 4; ++j) {
        row[j] = load_pack<4>(tile_b + k * kPitchB + piece_index<BN, TN>(place_n, 4 * j));
      }
#pragma unroll
      for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] += column[i / 4].v[i % 4] * row[j / 4].v[j % 4];
      }
    }
    buffer ^= 1;
    if (more) {
      load_a.template store<kPitchA>(memory + buffer * kBuffer);
      load_b.template store<kPitchB>(memory + buffer * kBuffer + BK * kPitchA);
    }
    sync_block();
  }

#pragma unroll 1
  for (int slice = 0; slice < TM; ++slice) {
#pragma unroll
    for (int i = 0; i < TM; ++i) {
      if (i != slice) continue;  // registers have no index: select, do not address
#pragma unroll
      for (int j = 0; j < TN; j += 4) {
        Pack<float, 4> four;
#pragma unroll
        for (int l = 0; l < 4; ++l) four.v[l] = sums[i][j + l];
        store_pack(memory + place_m * BN + piece_index<BN, TN>(place_n, j), four);
      }
    }
    sync_block();
#pragma unroll 1
    for (int index = static_cast<int>(threadIdx.x); index < kStage / 4; index += kThreads) {
      const int place = index / (BN / 4), column = index % (BN / 4) * 4;
      store_outputs(problem, task, first_m + piece_index<BM, TM>(place, slice), first_n + column,
                    memory + place * BN + column);
    }
    sync_block();
  }
}

}  // namespace convsmith::cuda
