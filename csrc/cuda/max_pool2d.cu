// Maximum pooling, NHWC: y[n, oh, ow, c] = max over (kh, kw) of
// x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w, c].
//
// Bound by memory: a thread owns a pack of channels of one output pixel, neighbouring threads own
// neighbouring packs, so that each tap is one coalesced load and windows that overlap meet in the
// cache. Windows of 2x2 and 3x3 inside the input are unrolled: all their loads are under way
// before the first comparison. The argmax is one byte an output where the window has at most 255
// elements. Packs are kept to 16 bytes of the wider of element and argmax.
//
// The backward is a gather: each input pixel asks the windows that cover it whether it won. No
// atomics, no zeroing pass, every dx is written once, and the order of additions is fixed.
#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

template <class T, class Index>
constexpr int kPoolWidth =
    static_cast<int>(16 / (sizeof(T) > sizeof(Index) ? sizeof(T) : sizeof(Index)));

// Rows (or columns) of a window inside the input: taps [first, end).
struct Taps {
  int64_t first, end;
};

CONVSMITH_DEVICE Taps clip(int64_t start, int64_t kernel, const FastDivide& dilation,
                           int64_t size) {
  const int64_t last = start + (kernel - 1) * dilation.divisor;
  if (start >= 0 && last < size) return {0, kernel};
  const int64_t first = start >= 0 ? 0 : divide_up(-start, dilation);
  const int64_t end = start >= size ? 0 : divide(size - 1 - start, dilation) + 1;
  return {first, end < kernel ? end : kernel};
}

template <int N>
struct Best {
  float value[N];
  int32_t tap[N];
};

// The first element seen, then: a later one wins only if it is larger, or the first NaN.
template <int N>
CONVSMITH_DEVICE void start(Best<N>& best, const Values<N>& seen, int32_t tap) {
#pragma unroll
  for (int j = 0; j < N; ++j) {
    best.value[j] = seen.v[j];
    best.tap[j] = tap;
  }
}
template <int N>
CONVSMITH_DEVICE void challenge(Best<N>& best, const Values<N>& seen, int32_t tap) {
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const bool wins = !(seen.v[j] <= best.value[j]) && best.value[j] == best.value[j];
    best.value[j] = wins ? seen.v[j] : best.value[j];
    best.tap[j] = wins ? tap : best.tap[j];
  }
}

template <int N, class T, class Index>
CONVSMITH_DEVICE void store_best(const Best<N>& best, T* y, Index* argmax, int64_t offset) {
  Pack<T, N> values;
#pragma unroll
  for (int j = 0; j < N; ++j) values.v[j] = from_float<T>(best.value[j]);
  store_pack(y + offset, values);
  if (argmax == nullptr) return;
  Pack<Index, N> taps;
#pragma unroll
  for (int j = 0; j < N; ++j) taps.v[j] = static_cast<Index>(best.tap[j]);  // -1 becomes 255
  store_pack(argmax + offset, taps);
}

struct PoolDivides {
  FastDivide stride_h, stride_w, dilation_h, dilation_w;
};

// kSize > 0 promises a window of kSize x kSize.
template <class T, class Index, int N, int kSize>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    max_pool2d_forward_kernel(Pool2dShape s, PixelSplit split, PoolDivides by, const T* x, T* y,
                              Index* argmax) {
  const int64_t row_step = s.dilation_h * s.in_w * s.channels;
  const int64_t column_step = s.dilation_w * s.channels;
  for (int64_t item = grid_index(); item < split.items; item += grid_step()) {
    const Pixel at = locate<N>(item, split);
    const int64_t top = at.row * s.stride_h - s.pad_top;
    const int64_t left = at.column * s.stride_w - s.pad_left;
    const Taps rows = clip(top, s.kernel_h, by.dilation_h, s.in_h);
    const Taps columns = clip(left, s.kernel_w, by.dilation_w, s.in_w);
    Best<N> best;
    if (rows.first >= rows.end || columns.first >= columns.end) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        best.value[j] = -INFINITY;
        best.tap[j] = -1;
      }
      store_best(best, y, argmax, item * N);
      continue;
    }
    // Added up as an offset: the window's corner may lie before the array, this tap does not.
    const T* p = x + (((at.image * s.in_h + top) * s.in_w + left) * s.channels + at.channel +
                      rows.first * row_step + columns.first * column_step);
    const bool whole = rows.first == 0 && columns.first == 0 && rows.end == s.kernel_h &&
                       columns.end == s.kernel_w;
    if (kSize > 0 && whole) {
      start(best, load_values<N>(p), 0);
#pragma unroll
      for (int tap = 1; tap < kSize * kSize; ++tap) {
        const T* q = p + (tap / (kSize > 0 ? kSize : 1)) * row_step +
                     (tap % (kSize > 0 ? kSize : 1)) * column_step;
        challenge(best, load_values<N>(q), tap);
      }
    } else {
      start(best, load_values<N>(p), static_cast<int32_t>(rows.first * s.kernel_w + columns.first));
      for (int64_t kh = rows.first; kh < rows.end; ++kh) {
        const T* q = p + (kh - rows.first) * row_step;
#pragma unroll 4
        for (int64_t kw = columns.first; kw < columns.end; ++kw) {
          challenge(best, load_values<N>(q + (kw - columns.first) * column_step),
                    static_cast<int32_t>(kh * s.kernel_w + kw));
        }
      }
    }
    store_best(best, y, argmax, item * N);
  }
}

// The windows along one axis that may cover position i: outputs [first, end).
CONVSMITH_DEVICE Taps covering(int64_t i, int64_t pad, int64_t reach, const FastDivide& stride,
                               int64_t out) {
  const int64_t from_start = i + pad;
  const int64_t first = from_start < reach ? 0 : divide(from_start - reach, stride) + 1;
  const int64_t end = divide(from_start, stride) + 1;
  return {first, end < out ? end : out};
}

// The tap through which a window sees a position `distance` beyond its start, -1 if through none.
CONVSMITH_DEVICE int64_t tap_at(int64_t distance, const FastDivide& dilation) {
  if (dilation.divisor == 1) return distance;
  const int64_t tap = divide(distance, dilation);
  return tap * dilation.divisor == distance ? tap : -1;
}

template <class T, class Index, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    max_pool2d_backward_input_kernel(Pool2dShape s, PixelSplit split, PoolDivides by, const T* dy,
                                     const Index* argmax, T* dx) {
  // How far a window reaches: its last tap is reach - 1 beyond its start.
  const int64_t reach_h = (s.kernel_h - 1) * s.dilation_h + 1;
  const int64_t reach_w = (s.kernel_w - 1) * s.dilation_w + 1;
  for (int64_t item = grid_index(); item < split.items; item += grid_step()) {
    const Pixel at = locate<N>(item, split);
    const Taps rows = covering(at.row, s.pad_top, reach_h, by.stride_h, s.out_h);
    const Taps columns = covering(at.column, s.pad_left, reach_w, by.stride_w, s.out_w);
    Values<N> sum = {};
    for (int64_t oh = rows.first; oh < rows.end; ++oh) {
      const int64_t kh = tap_at(at.row + s.pad_top - oh * s.stride_h, by.dilation_h);
      if (kh < 0) continue;
      const int64_t line = (at.image * s.out_h + oh) * s.out_w;
#pragma unroll 2
      for (int64_t ow = columns.first; ow < columns.end; ++ow) {
        const int64_t kw = tap_at(at.column + s.pad_left - ow * s.stride_w, by.dilation_w);
        if (kw < 0) continue;
        const int32_t tap = static_cast<int32_t>(kh * s.kernel_w + kw);
        const int64_t offset = (line + ow) * s.channels + at.channel;
        const Pack<Index, N> winner = load_pack<N>(argmax + offset);
        const Values<N> gradient = load_values<N>(dy + offset);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          sum.v[j] += static_cast<int32_t>(winner.v[j]) == tap ? gradient.v[j] : 0.0f;
        }
      }
    }
    store_values<N>(dx + item * N, sum);
  }
}

PoolDivides divides_of(const Pool2dShape& s) {
  return {fast_divide(s.stride_h), fast_divide(s.stride_w), fast_divide(s.dilation_h),
          fast_divide(s.dilation_w)};
}

template <class T, class Index, int N, int kSize>
void launch_forward(const Pool2dShape& s, const T* x, T* y, Index* argmax, Stream stream) {
  const PixelSplit split = split_pixels(s.batch, s.out_h, s.out_w, s.channels, N);
  launch("max_pool2d_forward", max_pool2d_forward_kernel<T, Index, N, kSize>, grid_for(split.items),
         kStreamThreads, 0, stream, s, split, divides_of(s), x, y, argmax);
}

}  // namespace

template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& s, const T* x, T* y, Index* argmax, Stream stream) {
  constexpr int kWide = kPoolWidth<T, Index>;
  const bool wide = s.channels % kWide == 0 && allows_packs<kWide>(x, y, argmax);
  with_width<kWide>(wide, [&](auto width) {
    constexpr int N = decltype(width)::value;
    if constexpr (sizeof(Index) == 1) {  // a window this small never has an int32 argmax
      if (s.kernel_h == 2 && s.kernel_w == 2) {
        return launch_forward<T, Index, N, 2>(s, x, y, argmax, stream);
      }
      if (s.kernel_h == 3 && s.kernel_w == 3) {
        return launch_forward<T, Index, N, 3>(s, x, y, argmax, stream);
      }
    }
    launch_forward<T, Index, N, 0>(s, x, y, argmax, stream);
  });
}

template <class T, class Index>
void max_pool2d_backward_input(const Pool2dShape& s, const T* dy, const Index* argmax, T* dx,
                               Stream stream) {
  constexpr int kWide = kPoolWidth<T, Index>;
  const bool wide = s.channels % kWide == 0 && allows_packs<kWide>(dy, argmax, dx);
  with_width<kWide>(wide, [&](auto width) {
    constexpr int N = decltype(width)::value;
    const PixelSplit split = split_pixels(s.batch, s.in_h, s.in_w, s.channels, N);
    launch("max_pool2d_backward_input", max_pool2d_backward_input_kernel<T, Index, N>,
           grid_for(split.items), kStreamThreads, 0, stream, s, split, divides_of(s), dy, argmax,
           dx);
  });
}

#define CONVSMITH_INSTANTIATE_INDEX(T, Index)                                                   \
  template void max_pool2d_forward<T, Index>(const Pool2dShape&, const T*, T*, Index*, Stream); \
  template void max_pool2d_backward_input<T, Index>(const Pool2dShape&, const T*, const Index*, \
                                                    T*, Stream);
#define CONVSMITH_INSTANTIATE(T)          \
  CONVSMITH_INSTANTIATE_INDEX(T, uint8_t) \
  CONVSMITH_INSTANTIATE_INDEX(T, int32_t)
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE
#undef CONVSMITH_INSTANTIATE_INDEX

}  // namespace convsmith::cuda
