// The one table of tiles, and the one rule that chooses a tile and a number of splits.
//
// The choice depends on the shape of the problem alone, never on the device or its load: the same
// shape gives the same order of additions, so the same bits. (The unit of the estimate is fixed to
// the 132 multiprocessors of an H100 or H200; on another device the choice is only less good.)
#pragma once

#include <cstdint>

namespace convsmith::cuda {

// Each thread of a direct kernel holds a tm x tn piece of the bm x bn tile in registers.
// BLOCKS, the blocks that must fit a multiprocessor, bounds the registers: without it the compiler
// spills a few of them for an occupancy that these kernels do not need.
template <int BM_, int BN_, int BK_, int TM_, int TN_, int BLOCKS_>
struct DirectTile {
  static constexpr int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_, BLOCKS = BLOCKS_;
  static constexpr int kThreadsM = BM / TM, kThreadsN = BN / TN, kThreads = kThreadsM * kThreadsN;
  static_assert(BM % TM == 0 && BN % TN == 0, "the pieces of the threads must fill the tile");
  static_assert(TM % 4 == 0 && TN % 4 == 0, "threads read shared memory four floats at a time");
  static_assert(kThreadsM % 4 == 0 && kThreadsN % 8 == 0, "a warp is 4 x 8 threads");
  static_assert(BK % 4 == 0, "a pack of four along the depth must not cross the tile");
};

// Each warp of a tensor-core kernel holds a wm x wn piece. BK counts 16-byte chunks along depth,
// so that one row serves 2-byte and 4-byte elements: 4 chunks are 32 half or 16 TF32 numbers.
template <int BM_, int BN_, int WM_, int WN_, int STAGES_, int BLOCKS_>
struct TensorTile {
  static constexpr int BM = BM_, BN = BN_, WM = WM_, WN = WN_, STAGES = STAGES_, BLOCKS = BLOCKS_;
  static constexpr int kDepthChunks = 4;
  static constexpr int kWarpsM = BM / WM, kWarpsN = BN / WN, kThreads = 32 * kWarpsM * kWarpsN;
  static_assert(BM % WM == 0 && BN % WN == 0, "the pieces of the warps must fill the tile");
  static_assert(WM % 16 == 0 && WN % 16 == 0, "fragments of A are 16 rows, pairs of B 16 columns");
  static_assert(STAGES >= 2, "one stage is read while the next is on its way");
};

// One row: what the estimate needs to know of a tile. rate: multiply-adds per cycle and
// multiprocessor when the tile is full.
struct TileRow {
  int bm, bn, bk;
  int blocks_per_unit;  // resident on one multiprocessor
  int rate;
};

// Direct kernels. A multiprocessor does 128 float multiply-adds a cycle.
using DirectLarge = DirectTile<128, 128, 8, 8, 8, 1>;  // 64 FMA per 4 vector reads: near the peak
using DirectNarrow = DirectTile<128, 32, 8, 8, 4, 3>;  // few output channels, as in grouped layers
using DirectMedium = DirectTile<64, 64, 8, 8, 4, 3>;   // 7x7 and 14x14 maps: enough blocks
using DirectSmall = DirectTile<32, 32, 8, 4, 4, 8>;    // tiny problems; also the tile of most tests
constexpr int kDirectTiles = 4;
constexpr TileRow kDirectTable[kDirectTiles] = {
    {DirectLarge::BM, DirectLarge::BN, DirectLarge::BK, 1, 115},
    {DirectNarrow::BM, DirectNarrow::BN, DirectNarrow::BK, 4, 90},
    {DirectMedium::BM, DirectMedium::BN, DirectMedium::BK, 4, 95},
    {DirectSmall::BM, DirectSmall::BN, DirectSmall::BK, 8, 60},
};

// Tensor cores: 1024 multiply-adds a cycle by mma.sync in 16 bits.
using TensorLarge =
    TensorTile<128, 128, 64, 64, 4, 2>;  // 64x64 warp tiles: 32 mma per 8 matrix loads
using TensorNarrow = TensorTile<128, 64, 64, 32, 4, 3>;  // 64 output channels
using TensorMedium = TensorTile<64, 64, 32, 32, 4, 4>;   // 7x7 and 14x14 maps
using TensorSmall = TensorTile<32, 32, 16, 16, 3, 4>;  // tiny problems; also the tile of most tests
constexpr int kTensorTiles = 4;
constexpr TileRow kTensorTable[kTensorTiles] = {
    {TensorLarge::BM, TensorLarge::BN, 32, 2, 900},
    {TensorNarrow::BM, TensorNarrow::BN, 32, 3, 750},
    {TensorMedium::BM, TensorMedium::BN, 32, 4, 600},
    {TensorSmall::BM, TensorSmall::BN, 32, 4, 250},
};

struct TileChoice {
  int row;         // of the table
  int64_t splits;  // of the depth
};

// For tests and tuning: overrides the estimate where it is not negative (row) or not zero (splits).
TileChoice& forced_choice();

constexpr int64_t kUnits = 132;
constexpr int64_t kMaxSplits = 64;
constexpr int64_t kReductionCycles = 4000;         // launching and draining the second kernel
constexpr int64_t kReductionBytesPerCycle = 2000;  // about 3.5 TB/s
constexpr int64_t kTileCycles = 1500;              // filling the pipeline, storing the tile

namespace tile_detail {
constexpr int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
}  // namespace tile_detail

// Cycles for one problem, as a double because sizes reach 2^61.
constexpr double estimated_cycles(const TileRow& tile, int64_t gemm_m, int64_t gemm_n,
                                  int64_t gemm_k, int64_t groups, int64_t splits) {
  const double blocks = static_cast<double>(tile_detail::up(gemm_m, tile.bm)) *
                        static_cast<double>(tile_detail::up(gemm_n, tile.bn)) *
                        static_cast<double>(groups) * static_cast<double>(splits);
  // A multiprocessor with fewer blocks than it can hold runs below its rate: one block alone
  // reaches about half of it.
  const double full = static_cast<double>(kUnits * tile.blocks_per_unit);
  const double waves =
      blocks <= full ? 1.0 : static_cast<double>(static_cast<int64_t>((blocks + full - 1) / full));
  const double resident =
      blocks <= kUnits ? 1.0 : (blocks >= full ? tile.blocks_per_unit : blocks / kUnits);
  const double share =
      0.5 +
      0.5 * (tile.blocks_per_unit == 1 ? 1.0 : (resident - 1.0) / (tile.blocks_per_unit - 1.0));
  const double steps =
      static_cast<double>(tile_detail::up(tile_detail::up(gemm_k, splits), tile.bk) * tile.bk);
  const double work = resident * tile.bm * tile.bn * steps / (tile.rate * share);
  const double reduction =
      splits == 1
          ? 0.0
          : kReductionCycles + 8.0 * static_cast<double>(splits) * static_cast<double>(gemm_m) *
                                   static_cast<double>(gemm_n) * static_cast<double>(groups) /
                                   kReductionBytesPerCycle;
  return waves * (work + kTileCycles) + reduction;
}

template <int kRows>
constexpr TileChoice estimated_choice(const TileRow (&table)[kRows], int64_t gemm_m, int64_t gemm_n,
                                      int64_t gemm_k, int64_t groups) {
  TileChoice best{0, 1};
  double best_cycles = -1.0;
  for (int row = 0; row < kRows; ++row) {
    for (int64_t splits = 1; splits <= kMaxSplits; splits *= 2) {
      if (splits > 1 && gemm_k / splits < 4 * table[row].bk) break;
      const double cycles = estimated_cycles(table[row], gemm_m, gemm_n, gemm_k, groups, splits);
      if (best_cycles < 0.0 || cycles < best_cycles) {
        best = {row, splits};
        best_cycles = cycles;
      }
    }
  }
  return best;
}

template <int kRows>
TileChoice choose_tile(const TileRow (&table)[kRows], int64_t gemm_m, int64_t gemm_n,
                       int64_t gemm_k, int64_t groups) {
  TileChoice choice = estimated_choice(table, gemm_m, gemm_n, gemm_k, groups);
  const TileChoice forced = forced_choice();
  if (forced.row >= 0) choice.row = forced.row % kRows;
  if (forced.splits > 0) choice.splits = forced.splits;
  // Every split gets whole depth steps, and at least one.
  const int64_t steps = tile_detail::up(gemm_k, table[choice.row].bk);
  if (choice.splits > steps) choice.splits = steps > 0 ? steps : 1;
  return choice;
}

}  // namespace convsmith::cuda
