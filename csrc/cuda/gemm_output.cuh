// What becomes of an accumulator of C, the same for every GEMM-like kernel:
//
//   c[m, n] = activation(alpha * accumulator + beta * c[m, n] + bias[n] + residual[m, n])
//
// beta = 0 never reads c. With several splits the raw accumulators go to `partial` instead,
// [split, group, m, n] in float, and gemm_reduce.cu adds them in the order of the splits.
#pragma once

#include "cuda/activate.cuh"
#include "cuda/index_math.cuh"
#include "cuda/kernels.cuh"

namespace convsmith::cuda {

template <class T>
struct GemmOutput {
  T* data;
  DeviceEpilogue<T> epilogue;
  float alpha, beta;
  int64_t row_stride, group_stride;  // elements
  ScatteredRows rows;
  float* partial;  // null: one split
  bool vectors;    // four neighbours in n may be read and written at once
};

template <class T>
struct GemmProblem {
  int64_t gemm_m, gemm_n, gemm_k, groups;
  int64_t splits, k_per_split;  // k_per_split: a multiple of the tile's depth
  int64_t tile_rows, tile_columns;
  int64_t first_tile;  // of this launch, which has at most kMostBlocks
  GemmOutput<T> output;
};

// The work of one block.
struct BlockTask {
  int64_t group, split, row, column;  // row and column count tiles
};

template <class T>
CONVSMITH_DEVICE BlockTask block_task(const GemmProblem<T>& problem) {
  const int64_t tiles = problem.tile_rows * problem.tile_columns;
  int64_t index = problem.first_tile + blockIdx.x;
  BlockTask task{0, 0, 0, 0};
  if (problem.groups > 1 || problem.splits > 1) {
    const int64_t outer = index / tiles;
    task.split = outer / problem.groups;
    task.group = outer - task.split * problem.groups;
    index -= outer * tiles;
  }
  const TilePosition position = tile_position(index, problem.tile_rows, problem.tile_columns);
  task.row = position.row;
  task.column = position.column;
  return task;
}

// Finishes and stores V neighbours of one row of C; all of them exist.
template <int V, class T>
CONVSMITH_DEVICE void finish_outputs(const GemmOutput<T>& output, int64_t group, int64_t gemm_n,
                                     int64_t m, int64_t n, const float (&sums)[V]) {
  const DeviceEpilogue<T>& epilogue = output.epilogue;
  const int64_t offset =
      row_position(output.rows, m) * output.row_stride + group * output.group_stride + n;
  float values[V];
#pragma unroll
  for (int j = 0; j < V; ++j) values[j] = output.alpha * sums[j];
  if (output.beta != 0.0f) {
    const Pack<T, V> old = load_pack<V>(output.data + offset);
#pragma unroll
    for (int j = 0; j < V; ++j) values[j] += output.beta * to_float(old.v[j]);
  }
  if (epilogue.bias != nullptr) {
    const Pack<T, V> bias = load_pack<V>(epilogue.bias + group * gemm_n + n);
#pragma unroll
    for (int j = 0; j < V; ++j) values[j] += to_float(bias.v[j]);
  }
  if (epilogue.residual != nullptr) {
    const Pack<T, V> residual = load_pack<V>(epilogue.residual + offset);
#pragma unroll
    for (int j = 0; j < V; ++j) values[j] += to_float(residual.v[j]);
  }
  Pack<T, V> result;
#pragma unroll
  for (int j = 0; j < V; ++j) {
    result.v[j] = from_float<T>(activate(epilogue.activation, epilogue.negative_slope, values[j]));
  }
  store_pack(output.data + offset, result);
}

// Four neighbours of a row from shared memory to C or to the partial sums; those outside C stop
// here.
template <class T>
CONVSMITH_DEVICE void store_outputs(const GemmProblem<T>& problem, const BlockTask& task, int64_t m,
                                    int64_t n, const float* staged) {
  const GemmOutput<T>& output = problem.output;
  if (m >= problem.gemm_m || n >= problem.gemm_n) return;
  if (output.partial != nullptr) {
    const int64_t row = (task.split * problem.groups + task.group) * problem.gemm_m + m;
    float* const target = output.partial + row * problem.gemm_n + n;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (n + j < problem.gemm_n) target[j] = staged[j];
    }
    return;
  }
  if (output.vectors) {
    const float sums[4] = {staged[0], staged[1], staged[2], staged[3]};
    finish_outputs<4>(output, task.group, problem.gemm_n, m, n, sums);
    return;
  }
#pragma unroll 1
  for (int j = 0; j < 4 && n + j < problem.gemm_n; ++j) {
    const float sums[1] = {staged[j]};
    finish_outputs<1>(output, task.group, problem.gemm_n, m, n + j, sums);
  }
}

// Adds the splits of `problem` from output.partial, in order, and finishes them. gemm_reduce.cu.
template <class T>
void reduce_splits(const char* op, const GemmProblem<T>& problem, Stream stream);

}  // namespace convsmith::cuda
