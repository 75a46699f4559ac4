// The innermost loop of GEMM and convolution: R rows x V vectors of C in registers.
#pragma once

#include "cpu/kernels/epilogue.h"
#include "cpu/kernels/implicit_gemm.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

struct Tile {
  const float* const* rows;
  int64_t row_stride, taps, depth;
  const float* b;
  const float* upcoming;  // what L2 should hold next,
  int64_t upcoming_step;  // and by how many floats to go on in it with every four of depth
  float* const* outputs;
  int64_t first_column, columns, count;  // valid columns and rows of this tile
  float alpha, beta;
  const Epilogue* epilogue;
  const float* c_origin;
};

constexpr int kLinesInFlight = 16;  // that a core waits for at a time: 10 to 16 on current ones

// Most tiles are whole and only stored or added: in loops of known length, out of registers.
template <int R, int V>
CONVSMITH_INLINE void add_whole_tile(const Tile& tile, const Vec (&acc)[R][V]) {
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
    float* c = tile.outputs[i] + tile.first_column;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      store(c + v * kLanes, tile.beta == 0.0f ? acc[i][v] : acc[i][v] + load(c + v * kLanes));
    }
  }
}

// Everything else, out of memory: once for all tile sizes, and away from their registers.
__attribute__((noinline)) void finish_tile(const Tile& tile, const Vec* acc, int vectors,
                                           int rows) {
  const Vec alpha = broadcast(tile.alpha), beta = broadcast(tile.beta);
  const Epilogue* epilogue = tile.epilogue;
  for (int i = 0; i < rows && i < tile.count; ++i) {
    float* c = tile.outputs[i] + tile.first_column;
    const float* residual = epilogue != nullptr && epilogue->residual != nullptr
                                ? epilogue->residual + (c - tile.c_origin)
                                : nullptr;
    for (int v = 0; v < vectors; ++v) {
      const int64_t column = v * kLanes;
      const int64_t lanes = minimum(kLanes, tile.columns - column);
      Vec value = acc[i * vectors + v] * alpha;
      if (tile.beta != 0.0f) value += beta * load_first(c + column, lanes);
      if (epilogue != nullptr) {
        if (epilogue->bias != nullptr) {
          value += load_first(epilogue->bias + tile.first_column + column, lanes);
        }
        if (residual != nullptr) value += load_first(residual + column, lanes);
        value = apply_activation(value, epilogue->activation, epilogue->negative_slope);
      }
      if (lanes == kLanes) {
        store(c + column, value);
      } else {
        store_first(c + column, value, lanes);
      }
    }
  }
}

template <int R, int V>
CONVSMITH_INLINE void store_tile(const Tile& tile, const Vec (&acc)[R][V]) {
  if (tile.epilogue == nullptr && tile.count >= R && tile.columns == V * kLanes &&
      tile.alpha == 1.0f && (tile.beta == 0.0f || tile.beta == 1.0f)) {
    return add_whole_tile(tile, acc);
  }
  Vec sums[R * V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[i * V + v] = acc[i][v];
  }
  finish_tile(tile, sums, V, R);
}

template <int R, int V>
void compute_tile(const Tile& tile) {
  Vec acc[R][V] = {};
  const float* b = tile.b;
  const float* upcoming = tile.upcoming;
  // C is met only at the end. Its lines are asked for at once if the core can wait for so many,
  // else one with each of the last steps: a burst would keep the loads of A and B waiting.
  constexpr bool kSpread = R * V > kLinesInFlight;
  const auto prefetch_c = [&](int64_t line) __attribute__((always_inline)) {
    __builtin_prefetch(tile.outputs[line / V] + tile.first_column + line % V * kLanes, 1);
  };
  int64_t c_line = minimum(R, tile.count) * V - (kSpread ? tile.taps * (tile.depth / 4) : 0);
#pragma GCC unroll 8
  for (int64_t line = 0; line < R * V && line < c_line; ++line) prefetch_c(line);
  for (int64_t t = 0; t < tile.taps; ++t) {
    const float* a[R];
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      a[i] = tile.rows[t * tile.row_stride + i];
      // Hide how the pointers are related, or the compiler rewrites them into costlier addresses.
      asm("" : "+r"(a[i]));
    }
    const auto step = [&](int64_t k) __attribute__((always_inline)) {
      Vec bv[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) bv[v] = load(b + v * kLanes);
      b += V * kLanes;
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i) {
        const Vec av = broadcast(a[i][k]);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) acc[i][v] += av * bv[v];
      }
    };
    int64_t k = 0;
    for (; k + 4 <= tile.depth; k += 4) {
      __builtin_prefetch(upcoming, 0, 2);
      upcoming += tile.upcoming_step;
      if (kSpread && c_line >= 0) prefetch_c(c_line);
      if (kSpread) ++c_line;
      step(k);
      step(k + 1);
      step(k + 2);
      step(k + 3);
    }
    for (; k < tile.depth; ++k) step(k);
  }
  store_tile<R, V>(tile, acc);
}

// Tile heights by panel width in vectors: enough accumulators to hide the latency of a fused
// multiply-add (8 on current cores), few enough row pointers for the general registers.
struct TileKernel {
  int rows;
  void (*compute)(const Tile&);
};
constexpr TileKernel kTiles[] = {
    {8, compute_tile<8, 1>},
#if defined(__AVX512F__)
    {8, compute_tile<8, 2>},
    {8, compute_tile<8, 3>},
    {6, compute_tile<6, 4>},
#else
    {6, compute_tile<6, 2>},
#endif
};

}  // namespace
}  // namespace convsmith::cpu::CONVSMITH_ISA
