// C[m, n] = sum_k A[m, k] B[k, n] on tensor cores (mma.sync), for every operand source whose rows
// are whole 16-byte chunks: bfloat16 and float16 as they are, float rounded to TF32. Sums are
// float.
//
// A block computes a BM x BN tile, each warp WM x WN of it: with 64 x 64, eight matrix loads feed
// 32 products. Tiles of A and B travel from global to shared memory by asynchronous 16-byte copies,
// STAGES deep, in the order in which the source lies in memory: depth by line if the depth is
// contiguous, line by depth if not; ldmatrix transposes on the way into registers in the second
// case. Rows XOR their chunk numbers (index_math.cuh), so that neither the copies nor the matrix
// loads meet in a bank. TF32 has no transposing load: there fragments are read float by float.
// At the end accumulators pass through shared memory, so that stores are contiguous.
#pragma once

#include "cuda/direct_gemm.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {

// The tile of one operand in shared memory and the fragments that a warp reads from it.
template <class Source, int kLines, int kThreads>
struct TensorOperand {
  using T = typename Source::Element;
  static constexpr bool kAlongDepth = Source::kDepthContiguous;
  static constexpr int V = 16 / static_cast<int>(sizeof(T));  // elements of a chunk
  static constexpr int kDepth = 4 * V;
  static constexpr int kRows = kAlongDepth ? kLines : kDepth;
  static constexpr int kChunks = kAlongDepth ? 4 : kLines / V;
  static constexpr int kBytes = kRows * kChunks * 16;
  static constexpr bool kByFloats = !kAlongDepth && sizeof(T) == 4;
  static_assert(!kByFloats || kChunks >= 8, "paired_chunk needs all 32 banks in a row");
  using Loader = TileLoader<Source, kLines, kDepth, V, kThreads>;

  CONVSMITH_DEVICE static int chunk_bytes(int row, int chunk) {
    const int place = kByFloats ? paired_chunk(row, chunk) : swizzled_chunk<kChunks>(row, chunk);
    return (row * kChunks + place) * 16;
  }

  // Starts the copies of one tile and moves the loader to the next.
  CONVSMITH_DEVICE static void copy(Loader& loader, const Source& source, unsigned char* shared) {
#pragma unroll
    for (int i = 0; i < Loader::kPerThread; ++i) {
      if (!Loader::has_pack(i)) continue;
      bool exists;
      const int64_t offset = source.offset(loader.lines[kAlongDepth ? i : 0],
                                           loader.depths[kAlongDepth ? 0 : i], exists);
      const int line = Loader::tile_line(i), depth = Loader::tile_depth(i);
      const int place = kAlongDepth ? chunk_bytes(line, depth / V) : chunk_bytes(depth, line / V);
      copy_async_16(shared + place, source.data + (exists ? offset : 0), exists);
    }
#pragma unroll
    for (int i = 0; i < Loader::kSourceDepths; ++i) source.advance(loader.depths[i]);
  }

  // Sixteen lines from `line` on, the two chunks of depth of step `step`. The four 8 x 8 matrices
  // come in the order that the fragments want: of A first both halves of the lines, of B first both
  // halves of the depth.
  template <bool kLinesFirst>
  CONVSMITH_DEVICE static void fragment(uint32_t (&r)[4], const unsigned char* shared, int line,
                                        int step) {
    if constexpr (kByFloats) {
      const int group = lane_id() / 4, place = lane_id() % 4;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int half_line = kLinesFirst ? i % 2 : i / 2, half_depth = kLinesFirst ? i / 2 : i % 2;
        const int l = line + half_line * 8 + group;
        const int depth = step * 8 + half_depth * 4 + place;
        const float* const chunk =
            reinterpret_cast<const float*>(shared + chunk_bytes(depth, l / V));
        r[i] = float_bits(chunk[l % V]);
      }
    } else {
      const int matrix = lane_id() / 8, row = lane_id() % 8;
      const int half_line = kLinesFirst ? matrix % 2 : matrix / 2;
      const int half_depth = kLinesFirst ? matrix / 2 : matrix % 2;
      if constexpr (kAlongDepth) {
        load_matrix_x4(r, shared + chunk_bytes(line + half_line * 8 + row, step * 2 + half_depth));
      } else {
        load_matrix_x4_transposed(
            r, shared + chunk_bytes(step * 16 + half_depth * 8 + row, line / V + half_line));
      }
    }
    if constexpr (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = to_tf32(bits_float(r[i]));
    }
  }
};

template <class T>
CONVSMITH_DEVICE void multiply_fragments(float (&c)[4], const uint32_t (&a)[4],
                                         const uint32_t (&b)[2]) {
  if constexpr (sizeof(T) == 4) {
    mma_16x8x8_tf32(c, a, b);
  } else {
    mma_16x8x16(c, a, b, T{});
  }
}

// Dynamic shared memory of a tile: all stages, and at the end one slice of C.
template <class Tile>
constexpr int kStagePitch = Tile::BN + 8;  // + 8: the rows of a fragment hit different banks
template <class Tile>
constexpr int kTensorSharedBytes =
    Tile::STAGES * (Tile::BM + Tile::BN) * 64 > Tile::kWarpsM * 16 * kStagePitch<Tile> * 4
        ? Tile::STAGES * (Tile::BM + Tile::BN) * 64
        : Tile::kWarpsM * 16 * kStagePitch<Tile> * 4;

template <class Tile, class T, class SourceA, class SourceB>
CONVSMITH_DEVICE void tensor_gemm_block(const GemmProblem<T>& problem, SourceA a, SourceB b) {
  constexpr int BM = Tile::BM, BN = Tile::BN, WM = Tile::WM, WN = Tile::WN;
  constexpr int kThreads = Tile::kThreads, kStages = Tile::STAGES;
  constexpr int kFragmentsM = WM / 16, kFragmentsN = WN / 8;
  using OperandA = TensorOperand<SourceA, BM, kThreads>;
  using OperandB = TensorOperand<SourceB, BN, kThreads>;
  constexpr int kStageBytes = OperandA::kBytes + OperandB::kBytes;
  static_assert(kStages * kStageBytes <= kTensorSharedBytes<Tile>, "every stage needs its room");
  CONVSMITH_DYNAMIC_SHARED(unsigned char, tiles);

  const BlockTask task = block_task(problem);
  const int64_t first_m = task.row * BM, first_n = task.column * BN;
  const int64_t first_k = task.split * problem.k_per_split;
  const int64_t depth = smaller(problem.k_per_split, problem.gemm_k - first_k);
  const int64_t steps = divide_up(depth, OperandA::kDepth);
  a.data += task.group * a.group_stride;
  b.data += task.group * b.group_stride;
  const int warp_m = warp_id() / Tile::kWarpsN, warp_n = warp_id() % Tile::kWarpsN;

  typename OperandA::Loader load_a;
  typename OperandB::Loader load_b;
  load_a.begin(a, first_m, first_k);
  load_b.begin(b, first_n, first_k);

  float sums[kFragmentsM][kFragmentsN][4];
#pragma unroll
  for (int i = 0; i < kFragmentsM; ++i) {
#pragma unroll
    for (int j = 0; j < kFragmentsN; ++j) {
#pragma unroll
      for (int l = 0; l < 4; ++l) sums[i][j][l] = 0.0f;
    }
  }

  // A group is committed every time, copies or not, so that waiting by number stays right.
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) {
    if (stage < steps) {
      OperandA::copy(load_a, a, tiles + stage * kStageBytes);
      OperandB::copy(load_b, b, tiles + stage * kStageBytes + OperandA::kBytes);
    }
    copy_async_commit();
  }
  int read = 0;  // registers are scarce: one counter of steps, one of stages
#pragma unroll 1
  for (int64_t left = steps; left > 0; --left) {
    copy_async_wait<kStages - 2>();
    sync_block();  // this stage has arrived, and everyone has left the stage that is filled next
    if (left >= kStages) {
      const int write = read == 0 ? kStages - 1 : read - 1;
      OperandA::copy(load_a, a, tiles + write * kStageBytes);
      OperandB::copy(load_b, b, tiles + write * kStageBytes + OperandA::kBytes);
    }
    copy_async_commit();
    const unsigned char* const tile_a = tiles + read * kStageBytes;
    const unsigned char* const tile_b = tile_a + OperandA::kBytes;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      uint32_t rows[kFragmentsM][4], columns[kFragmentsN / 2][4];
#pragma unroll
      for (int i = 0; i < kFragmentsM; ++i) {
        OperandA::template fragment<true>(rows[i], tile_a, warp_m * WM + i * 16, k);
      }
#pragma unroll
      for (int j = 0; j < kFragmentsN / 2; ++j) {
        OperandB::template fragment<false>(columns[j], tile_b, warp_n * WN + j * 16, k);
      }
#pragma unroll
      for (int i = 0; i < kFragmentsM; ++i) {
#pragma unroll
        for (int j = 0; j < kFragmentsN; ++j) {
          const uint32_t column[2] = {columns[j / 2][j % 2 * 2], columns[j / 2][j % 2 * 2 + 1]};
          multiply_fragments<T>(sums[i][j], rows[i], column);
        }
      }
    }
    read = read + 1 == kStages ? 0 : read + 1;
  }
  sync_block();  // every copy has been waited for; the stages become room for staging

  // Slice by slice of 16 rows of every warp, as in direct_gemm.cuh.
  constexpr int kPitch = kStagePitch<Tile>, kSliceRows = Tile::kWarpsM * 16;
  float* const staged = reinterpret_cast<float*>(tiles);
#pragma unroll 1
  for (int slice = 0; slice < kFragmentsM; ++slice) {
#pragma unroll
    for (int i = 0; i < kFragmentsM; ++i) {
      if (i != slice) continue;  // registers have no index: select, do not address
#pragma unroll
      for (int j = 0; j < kFragmentsN; ++j) {
        float* const to = staged + (warp_m * 16 + lane_id() / 4) * kPitch + warp_n * WN + j * 8 +
                          lane_id() % 4 * 2;
        store_pack(to, Pack<float, 2>{{sums[i][j][0], sums[i][j][1]}});
        store_pack(to + 8 * kPitch, Pack<float, 2>{{sums[i][j][2], sums[i][j][3]}});
      }
    }
    sync_block();
#pragma unroll 1
    for (int index = static_cast<int>(threadIdx.x); index < kSliceRows * BN / 4;
         index += kThreads) {
      const int row = index / (BN / 4), column = index % (BN / 4) * 4;
      store_outputs(problem, task, first_m + row / 16 * WM + slice * 16 + row % 16,
                    first_n + column, staged + row * kPitch + column);
    }
    sync_block();
  }
}

// Kernels: a struct with `template <class T, class Tile> static auto tensor()`.
template <class Kernels, class T, class SourceA, class SourceB>
void launch_tensor(const char* op, const GemmProblem<T>& problem, SourceA a, SourceB b,
                   Stream stream) {
  constexpr int kDepth = TensorOperand<SourceA, 32, 128>::kDepth;
  a.set_step(kDepth);
  b.set_step(kDepth);
  const TileChoice choice =
      choose_tile(kTensorTable, problem.gemm_m, problem.gemm_n, problem.gemm_k, problem.groups);
  const auto run = [&](auto tile_tag) {
    using Tile = decltype(tile_tag);
    run_tiles(op, problem, kTensorTable[choice.row], choice.splits, stream,
              [&](const GemmProblem<T>& part, Grid grid) {
                launch(op, Kernels::template tensor<T, Tile>(), grid, Tile::kThreads,
                       static_cast<size_t>(kTensorSharedBytes<Tile>), stream, part, a, b);
              });
  };
  switch (choice.row) {
    case 0:
      return run(TensorLarge{});
    case 1:
      return run(TensorNarrow{});
    case 2:
      return run(TensorMedium{});
    default:
      return run(TensorSmall{});
  }
}

}  // namespace convsmith::cuda
