// Sums over all pixels, one per channel (and tap):
//
//   conv2d_backward_bias               dbias[c] = sum_p dy[p, c]
//   depthwise conv2d_backward_weight   dweight[oc, kh, kw] = sum_p dy[p, oc] * x[window(p), ic]
//
// Memory-bound. A block takes 32 channels, neighbours in memory, and eight of its rows of threads
// go through the pixels in turn; pixels are split over blocks besides. Rows and splits are added in
// a fixed order, and their number depends on the shape alone, so the bits never change.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr int kChannels = 32;  // of a block: one warp wide
constexpr int kRows = 8;
constexpr int kThreads = kChannels * kRows;
constexpr int kTaps = 4;  // neighbouring taps that share the pixels of dy in registers
constexpr int64_t kWantedBlocks = 1056;  // eight on each of 132 multiprocessors
constexpr int64_t kLeastPixels = 256;    // of a split
constexpr int64_t kMostSplits = 256;

int64_t splits_for(int64_t blocks, int64_t pixels) {
  const int64_t wanted = divide_up(kWantedBlocks, blocks > 0 ? blocks : 1);
  const int64_t most = smaller(kMostSplits, divide_up(pixels, kLeastPixels));
  const int64_t splits = smaller(wanted, most);
  const int64_t forced = forced_choice().splits;
  return forced > 0 ? forced : (splits > 0 ? splits : 1);
}

// Adds the rows of threads, first to last; row 0 gets the sum.
CONVSMITH_DEVICE float sum_rows(float value, float* memory) {
  const int row = warp_id(), channel = lane_id();
  sync_block();
  memory[row * kChannels + channel] = value;
  sync_block();
  float sum = 0.0f;
  if (row == 0) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) sum += memory[i * kChannels + channel];
  }
  return sum;
}

template <class T>
struct ColumnSums {
  const T* dy;
  int64_t pixels, channels, channel_tiles;
  int64_t pixels_per_split, splits;
  float* partial;  // [split, channels, taps]
};

template <class T>
__global__ void __launch_bounds__(kThreads) conv2d_backward_bias_kernel(ColumnSums<T> p) {
  CONVSMITH_SHARED(float, memory, kThreads);
  const int64_t tasks = p.channel_tiles * p.splits;
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    const int64_t channel = task % p.channel_tiles * kChannels + lane_id();
    const int64_t split = task / p.channel_tiles;
    const int64_t last = smaller((split + 1) * p.pixels_per_split, p.pixels);
    float sum = 0.0f;
    if (channel < p.channels) {
      for (int64_t pixel = split * p.pixels_per_split + warp_id(); pixel < last; pixel += kRows) {
        sum += to_float(p.dy[pixel * p.channels + channel]);
      }
    }
    sum = sum_rows(sum, memory);
    if (warp_id() == 0 && channel < p.channels) p.partial[split * p.channels + channel] = sum;
  }
}

template <class T>
struct DepthwiseSums {
  ColumnSums<T> sums;
  const T* x;
  Window window;  // taps.low is unused
  Digits step;    // kRows pixels
  int64_t multiplier, chunks_w;
};

template <class T>
__global__ void __launch_bounds__(kThreads)
    conv2d_backward_weight_depthwise_kernel(DepthwiseSums<T> p) {
  CONVSMITH_SHARED(float, memory, kThreads);
  const ColumnSums<T>& sums = p.sums;
  const Window& window = p.window;
  const int64_t chunks = window.taps_h * p.chunks_w;
  const int64_t tasks = sums.channel_tiles * chunks * sums.splits;
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    const int64_t channel = task % sums.channel_tiles * kChannels + lane_id();
    const int64_t chunk = task / sums.channel_tiles % chunks;
    const int64_t split = task / sums.channel_tiles / chunks;
    const int tap_h = static_cast<int>(chunk / p.chunks_w);
    const int first_w = static_cast<int>(chunk % p.chunks_w) * kTaps;
    const int64_t first = split * sums.pixels_per_split + warp_id();
    const int64_t last = smaller((split + 1) * sums.pixels_per_split, sums.pixels);
    float total[kTaps] = {};
    if (channel < sums.channels) {
      const T* const x = p.x + channel / p.multiplier;
      Digits digits = to_digits(first, window.grid);
      for (int64_t pixel = first; pixel < last; pixel += kRows) {
        const float gradient = to_float(sums.dy[pixel * sums.channels + channel]);
        const WindowPixel place = window_pixel(window, digits);
#pragma unroll
        for (int i = 0; i < kTaps; ++i) {
          if (first_w + i >= window.taps.mid) continue;
          const WindowTap tap = window_tap(window, {static_cast<uint32_t>(tap_h), first_w + i, 0});
          if (inside_image(window, place, tap)) {
            total[i] += gradient * to_float(x[place.offset + tap.offset]);
          }
        }
        digits = advanced(digits, p.step, window.grid);
      }
    }
#pragma unroll
    for (int i = 0; i < kTaps; ++i) {
      const float sum = sum_rows(total[i], memory);
      if (warp_id() == 0 && channel < sums.channels && first_w + i < window.taps.mid) {
        const int64_t taps = static_cast<int64_t>(window.taps_h) * window.taps.mid;
        const int64_t tap = static_cast<int64_t>(tap_h) * window.taps.mid + first_w + i;
        sums.partial[(split * sums.channels + channel) * taps + tap] = sum;
      }
    }
  }
}

// Splits the pixels, calls launch_sums(sums, grid), adds the splits into out[channels, taps].
template <class T, class LaunchSums>
void run(const char* op, const T* dy, int64_t pixels, int64_t channels, int64_t taps,
         int64_t chunks, T* out, Stream stream, LaunchSums&& launch_sums) {
  ColumnSums<T> sums{dy, pixels, channels, divide_up(channels, kChannels), 0, 0, nullptr};
  const int64_t splits = splits_for(sums.channel_tiles * chunks, pixels);
  sums.pixels_per_split = pixels > 0 ? divide_up(pixels, splits) : 1;
  sums.splits = pixels > 0 ? divide_up(pixels, sums.pixels_per_split) : 1;
  Workspace partial(static_cast<size_t>(sums.splits * channels * taps) * sizeof(float), stream, op);
  sums.partial = partial.template as<float>();
  const int64_t tasks = sums.channel_tiles * chunks * sums.splits;
  launch_sums(sums, Grid{smaller(tasks, kMostBlocks)});
  GemmProblem<T> problem = plain_problem(channels, taps, pixels, 1, out, taps, 0);
  problem.splits = sums.splits;
  problem.output.partial = sums.partial;
  reduce_splits(op, problem, stream);
}

}  // namespace

template <class T>
void conv2d_backward_bias(int64_t rows, int64_t channels, const T* dy, T* dbias, Stream stream) {
  constexpr const char* op = "conv2d_backward_bias";
  if (channels == 0) return;
  run<T>(op, dy, rows, channels, 1, 1, dbias, stream, [&](const ColumnSums<T>& sums, Grid grid) {
    launch(op, conv2d_backward_bias_kernel<T>, grid, kThreads, 0, stream, sums);
  });
}

template <class T>
void depthwise_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dweight,
                               Stream stream) {
  constexpr const char* op = "conv2d_backward_weight";
  DepthwiseSums<T> problem{};
  problem.x = x;
  problem.window = input_window(s);
  problem.step = to_digits(kRows, problem.window.grid);
  problem.multiplier = s.out_c / s.in_c;
  problem.chunks_w = divide_up(s.kernel_w, kTaps);
  run<T>(op, dy, output_pixels(s), s.out_c, s.kernel_h * s.kernel_w, s.kernel_h * problem.chunks_w,
         dweight, stream, [&](const ColumnSums<T>& sums, Grid grid) {
           problem.sums = sums;
           launch(op, conv2d_backward_weight_depthwise_kernel<T>, grid, kThreads, 0, stream,
                  problem);
         });
}

#define CONVSMITH_INSTANTIATE(T)                                              \
  template void conv2d_backward_bias(int64_t, int64_t, const T*, T*, Stream); \
  template void depthwise_backward_weight(const Conv2dShape&, const T*, const T*, T*, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
