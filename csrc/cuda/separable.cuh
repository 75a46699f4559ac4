// The two kernels behind average pooling, adaptive pooling and upsampling, forward and backward: a
// linear map that acts on rows and columns apart,
//
//   to[n, i, j, c] = sum over a in rows(i), b in columns(j) of
//                    row_weight(i, a) column_weight(j, b) from[n, a, b, c] / divisor(i, j),
//
// where rows(i) and columns(j) are ranges of neighbours. The backward of such a map is another one:
// the outputs that a given input reached are neighbours too. So both directions are gathers: no
// atomics, every element written once, additions in a fixed order.
//
// An Axis is a struct with
//   kWeighted, kDivided              which of the factors are not 1
//   kFew                             reach() never gives more than two elements
//   Reach reach(i)                   what position i reads
//   float weight(reach, i, k)        of element reach.first + k
//   float divisor(i)                 separate from the weights, so that exact sums stay exact
//
// Many outputs: a thread owns a pack of channels of one output pixel (as in max_pool2d.cu). Few
// outputs with many elements each (global pooling): a block owns one output pixel and a panel of
// channels, its threads share the elements and add up through shared memory in a fixed tree.
#pragma once

#include "cuda/streaming.cuh"

namespace convsmith::cuda {

// Elements [first, first + count); low and high are an axis's own numbers (bilinear weights).
struct Reach {
  int64_t first, count;
  float low, high;
};

CONVSMITH_HOST_DEVICE Reach reach_between(int64_t first, int64_t end) {
  return {first, end > first ? end - first : 0, 0.0f, 0.0f};
}

struct SeparableShape {
  int64_t batch, channels;
  int64_t from_h, from_w, to_h, to_w;
};

template <class Axis, class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    separable_kernel(SeparableShape s, PixelSplit split, Axis vertical, Axis horizontal,
                     const T* from, T* to) {
  for (int64_t item = grid_index(); item < split.items; item += grid_step()) {
    const Pixel at = locate<N>(item, split);
    const Reach rows = vertical.reach(at.row);
    const Reach columns = horizontal.reach(at.column);
    const T* const corner =
        from + ((at.image * s.from_h + rows.first) * s.from_w + columns.first) * s.channels +
        at.channel;
    Values<N> sum = {};
    for (int64_t a = 0; a < rows.count; ++a) {
      const T* const line = corner + a * s.from_w * s.channels;
      Values<N> partial = {};
#pragma unroll(Axis::kWeighted ? 1 : 4)
      for (int64_t b = 0; b < columns.count; ++b) {
        const Values<N> value = load_values<N>(line + b * s.channels);
        const float weight = Axis::kWeighted ? horizontal.weight(columns, at.column, b) : 1.0f;
#pragma unroll
        for (int j = 0; j < N; ++j) partial.v[j] += weight * value.v[j];
      }
      const float weight = Axis::kWeighted ? vertical.weight(rows, at.row, a) : 1.0f;
#pragma unroll
      for (int j = 0; j < N; ++j) sum.v[j] += weight * partial.v[j];
    }
    if (Axis::kDivided) {
      const float divisor = vertical.divisor(at.row) * horizontal.divisor(at.column);
#pragma unroll
      for (int j = 0; j < N; ++j) sum.v[j] /= divisor;
    }
    store_values<N>(to + item * N, sum);
  }
}

// A block's threads: lanes across a panel of packs, the rest of them across the elements.
struct Panels {
  int lanes, depth;  // lanes * depth <= kStreamThreads
  int64_t packs;
  FastDivide panels, columns, rows;
};

inline Panels panels_of(int64_t packs, int64_t to_h, int64_t to_w) {
  constexpr int kMostLanes = 32;
  const int64_t panels = (packs + kMostLanes - 1) / kMostLanes;
  const int lanes = static_cast<int>((packs + panels - 1) / panels);
  return {lanes,
          kStreamThreads / lanes,
          packs,
          fast_divide(panels),
          fast_divide(to_w),
          fast_divide(to_h)};
}

// Blocks: one a pixel and panel. The elements of a window count as one list, row after row; thread
// (lane, d) takes elements d, d + depth, ...
template <class Axis, class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    separable_block_kernel(SeparableShape s, Panels cut, Axis vertical, Axis horizontal,
                           const T* from, T* to) {
  CONVSMITH_SHARED(float, sums, kStreamThreads* N);
  const int thread = static_cast<int>(threadIdx.x);
  const int d = thread / cut.lanes;
  const int64_t block = static_cast<int64_t>(blockIdx.x);
  const int64_t pixel = divide(block, cut.panels);
  const int64_t pack = (block - pixel * cut.panels.divisor) * cut.lanes + (thread - d * cut.lanes);
  const int64_t line = divide(pixel, cut.columns);
  const int64_t image = divide(line, cut.rows);
  const int64_t i = line - image * s.to_h;
  const int64_t j = pixel - line * s.to_w;
  const bool works = d < cut.depth && pack < cut.packs;

  const Reach rows = vertical.reach(i);
  const Reach columns = horizontal.reach(j);
  Values<N> sum = {};
  if (works) {
    const T* const corner =
        from + ((image * s.from_h + rows.first) * s.from_w + columns.first) * s.channels + pack * N;
    const uint32_t width = static_cast<uint32_t>(columns.count > 0 ? columns.count : 1);
    const uint32_t start = static_cast<uint32_t>(d);
    const uint32_t jump = static_cast<uint32_t>(cut.depth);
    const int64_t rows_a_jump = jump / width, columns_a_jump = jump % width;
    int64_t a = start / width, b = start % width;
    while (columns.count > 0 && a < rows.count) {
      const Values<N> value = load_values<N>(corner + (a * s.from_w + b) * s.channels);
      const float weight =
          Axis::kWeighted ? vertical.weight(rows, i, a) * horizontal.weight(columns, j, b) : 1.0f;
#pragma unroll
      for (int k = 0; k < N; ++k) sum.v[k] += weight * value.v[k];
      a += rows_a_jump;
      b += columns_a_jump;
      if (b >= columns.count) {
        b -= columns.count;
        ++a;
      }
    }
  }
  if (d < cut.depth) {
#pragma unroll
    for (int k = 0; k < N; ++k) sums[thread * N + k] = sum.v[k];
  }
  // Row d of the tree takes in row d + half.
  for (int count = cut.depth; count > 1;) {
    const int half = (count + 1) / 2;
    sync_block();
    if (d + half < count) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        sums[thread * N + k] += sums[(thread + half * cut.lanes) * N + k];
      }
    }
    count = half;
  }
  if (d != 0 || !works) return;  // row 0 is its own writer: no barrier is needed before reading
  const float divisor = Axis::kDivided ? vertical.divisor(i) * horizontal.divisor(j) : 1.0f;
  Values<N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result.v[k] = sums[thread * N + k] / divisor;
  store_values<N>(to + pixel * s.channels + pack * N, result);
}

// Below this many threads a GPU is less than half full; above this many elements it pays to share.
constexpr int64_t kFewItems = 1 << 16;
constexpr int64_t kManyElements = 16;

// elements: how many one output sums up, roughly.
template <class Axis, class T>
void separable_map(const char* op, const SeparableShape& s, const Axis& vertical,
                   const Axis& horizontal, int64_t elements, const T* from, T* to, Stream stream) {
  constexpr int kWide = kWidest<T>;
  const bool wide = s.channels % kWide == 0 && allows_packs<kWide>(from, to);
  with_width<kWide>(wide, [&](auto width) {
    constexpr int N = decltype(width)::value;
    const PixelSplit split = split_pixels(s.batch, s.to_h, s.to_w, s.channels, N);
    if constexpr (!Axis::kFew) {
      if (elements >= kManyElements && split.items < kFewItems) {
        const Panels cut = panels_of(s.channels / N, s.to_h, s.to_w);
        launch(op, separable_block_kernel<Axis, T, N>,
               Grid{s.batch * s.to_h * s.to_w * cut.panels.divisor}, kStreamThreads, 0, stream, s,
               cut, vertical, horizontal, from, to);
        return;
      }
    }
    launch(op, separable_kernel<Axis, T, N>, grid_for(split.items), kStreamThreads, 0, stream, s,
           split, vertical, horizontal, from, to);
  });
}

}  // namespace convsmith::cuda
