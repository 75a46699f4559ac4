// From a problem to launches: chooses the tile, splits the depth, cuts grids that are too large.
#pragma once

#include "cuda/direct_gemm.cuh"

namespace convsmith::cuda {

// Whether V neighbours of T at this address may be read at once.
template <int V, class T>
bool aligned(const T* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % (V * sizeof(T)) == 0;
}

template <class T>
bool can_store_vectors(const GemmProblem<T>& problem) {
  const GemmOutput<T>& out = problem.output;
  return problem.gemm_n % 4 == 0 && out.row_stride % 4 == 0 && out.group_stride % 4 == 0 &&
         aligned<4>(out.data) && aligned<4>(out.epilogue.bias) && aligned<4>(out.epilogue.residual);
}

// A problem with the plain output: rows one after another, no epilogue.
template <class T>
GemmProblem<T> plain_problem(int64_t gemm_m, int64_t gemm_n, int64_t gemm_k, int64_t groups, T* c,
                             int64_t row_stride, int64_t group_stride) {
  GemmProblem<T> problem{};
  problem.gemm_m = gemm_m;
  problem.gemm_n = gemm_n;
  problem.gemm_k = gemm_k;
  problem.groups = groups;
  problem.output.data = c;
  problem.output.epilogue = {nullptr, nullptr, Activation::identity, 0.0f};
  problem.output.alpha = 1.0f;
  problem.output.row_stride = row_stride;
  problem.output.group_stride = group_stride;
  return problem;
}

// Calls launch_tiles(problem, grid) for at most kMostBlocks at a time, then adds the splits.
template <class T, class LaunchTiles>
void run_tiles(const char* op, GemmProblem<T> problem, const TileRow& tile, int64_t splits,
               Stream stream, LaunchTiles&& launch_tiles) {
  if (problem.gemm_m == 0 || problem.gemm_n == 0 || problem.groups == 0) return;
  problem.k_per_split = divide_up(divide_up(problem.gemm_k, splits), tile.bk) * tile.bk;
  problem.splits = problem.gemm_k == 0 ? 1 : divide_up(problem.gemm_k, problem.k_per_split);
  problem.tile_rows = divide_up(problem.gemm_m, tile.bm);
  problem.tile_columns = divide_up(problem.gemm_n, tile.bn);
  problem.output.vectors = can_store_vectors(problem);
  const int64_t numbers =
      problem.splits > 1 ? problem.splits * problem.groups * problem.gemm_m * problem.gemm_n : 0;
  Workspace partial(static_cast<size_t>(numbers) * sizeof(float), stream, op);
  problem.output.partial = numbers > 0 ? partial.template as<float>() : nullptr;
  const int64_t blocks = problem.tile_rows * problem.tile_columns * problem.groups * problem.splits;
  for (problem.first_tile = 0; problem.first_tile < blocks; problem.first_tile += kMostBlocks) {
    launch_tiles(problem, Grid{smaller(kMostBlocks, blocks - problem.first_tile)});
  }
  if (problem.splits > 1) reduce_splits(op, problem, stream);
}

// Kernels: a struct with `template <class T, class Tile, int V> static auto direct()` for the
// op's own __global__ function, so that a profiler shows the op's name.
template <class Kernels, class Tile, int V, class T, class SourceA, class SourceB>
void launch_direct_tile(const char* op, const GemmProblem<T>& problem, SourceA a, SourceB b,
                        const TileRow& tile, int64_t splits, Stream stream) {
  a.set_step(Tile::BK);
  b.set_step(Tile::BK);
  run_tiles(op, problem, tile, splits, stream, [&](const GemmProblem<T>& part, Grid grid) {
    launch(op, Kernels::template direct<T, Tile, V>(), grid, Tile::kThreads, 0, stream, part, a, b);
  });
}

// vectors: packs of four of A and of B may be read at once.
template <class Kernels, class T, class SourceA, class SourceB>
void launch_direct(const char* op, const GemmProblem<T>& problem, const SourceA& a,
                   const SourceB& b, bool vectors, Stream stream) {
  const TileChoice choice =
      choose_tile(kDirectTable, problem.gemm_m, problem.gemm_n, problem.gemm_k, problem.groups);
  const TileRow& row = kDirectTable[choice.row];
  const auto run = [&](auto tile) {
    using Tile = decltype(tile);
    if (vectors) {
      launch_direct_tile<Kernels, Tile, 4>(op, problem, a, b, row, choice.splits, stream);
    } else {
      launch_direct_tile<Kernels, Tile, 1>(op, problem, a, b, row, choice.splits, stream);
    }
  };
  switch (choice.row) {
    case 0:
      return run(DirectLarge{});
    case 1:
      return run(DirectNarrow{});
    case 2:
      return run(DirectMedium{});
    default:
      return run(DirectSmall{});
  }
}

}  // namespace convsmith::cuda
