// Depthwise convolution (one input channel a group, `multiplier` output channels each):
//
//   forward         y[n, oh, ow, oc] = sum_{kh, kw} x[n, oh*s - p + kh*d, .., oc / multiplier]
//                                                   * weight[oc, kh, kw]
//   backward_input  the transpose, one stride phase at a time, as in conv2d_backward_input.cu
//
// No sum over channels, so no GEMM: memory-bound. Both directions look at an image through a window
// (index_math.cuh) and are one kernel. A block serves 64 channels, neighbours in memory; a thread
// computes a strip of four pixels of V channels, so that neighbouring windows come from L1. Filters
// lie tap by tap in shared memory, since in weight the channels are a whole filter apart.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChannels = 64;  // of a block
constexpr int kStrip = 4;      // output pixels of a thread, along a row
constexpr int kTapChunk = 32;  // taps in shared memory at a time

// Output channel c reads the image channels (c / divide) * reads + j and the filters c * reads + j.
template <class T>
struct DepthwiseProblem {
  const T* image;
  const T* weight;
  Window window;  // taps.low is unused
  int64_t channels, divide, reads, filter_taps;
  int64_t first_tap;  // of the window's taps in the filter, and how far they lie apart
  int64_t tap_stride_h, tap_stride_w;
  int64_t strips, strips_per_row, channel_tiles;
  GemmOutput<T> output;
};

template <int V, class T>
CONVSMITH_DEVICE void depthwise_block(const DepthwiseProblem<T>& p) {
  constexpr int kAcross = kChannels / V, kStrips = kThreads / kAcross;
  CONVSMITH_SHARED(float, filters, kTapChunk* kChannels);
  const Window& window = p.window;
  const int place = static_cast<int>(threadIdx.x) % kAcross * V;
  const int taps_w = window.taps.mid;
  const int taps = static_cast<int>(window.taps_h) * taps_w;
  const int64_t tasks = p.channel_tiles * divide_up(p.strips, kStrips);
  for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
    const int64_t first_channel = task % p.channel_tiles * kChannels;
    const int64_t channel = first_channel + place;
    const int64_t strip =
        task / p.channel_tiles * kStrips + static_cast<int>(threadIdx.x) / kAcross;
    const bool works = strip < p.strips && channel < p.channels;
    const int64_t line = strip / p.strips_per_row;  // n * grid height + r
    const int64_t column = strip % p.strips_per_row * kStrip;
    const WindowPixel pixel = window_pixel(
        window, {static_cast<uint32_t>(line / window.grid.mid),
                 static_cast<int32_t>(line % window.grid.mid), static_cast<int32_t>(column)});
    const int64_t pixel_step = window.step_w * window.pixel_stride;
    float sums[kStrip][V] = {};

    for (int64_t read = 0; read < p.reads; ++read) {
      const T* const image = p.image + channel / p.divide * p.reads + read + pixel.offset;
      for (int chunk = 0; chunk < taps; chunk += kTapChunk) {
        const int count = static_cast<int>(smaller(kTapChunk, taps - chunk));
        sync_block();
        for (int i = static_cast<int>(threadIdx.x); i < count * kChannels; i += kThreads) {
          const int tap = chunk + i % count, c = i / count;
          const int64_t position =
              p.first_tap + tap / taps_w * p.tap_stride_h + tap % taps_w * p.tap_stride_w;
          float value = 0.0f;
          if (first_channel + c < p.channels) {
            value = to_float(
                p.weight[((first_channel + c) * p.reads + read) * p.filter_taps + position]);
          }
          filters[i % count * kChannels + c] = value;
        }
        sync_block();
        if (!works) continue;
        for (int t = 0; t < count; ++t) {
          const int a = (chunk + t) / taps_w, b = (chunk + t) % taps_w;
          const WindowTap tap = window_tap(window, {static_cast<uint32_t>(a), b, 0});
#pragma unroll
          for (int i = 0; i < kStrip; ++i) {
            const WindowPixel seen{0, pixel.y, pixel.x + i * window.step_w};
            if (!inside_image(window, seen, tap)) continue;
            const Pack<T, V> values = load_pack<V>(image + tap.offset + i * pixel_step);
#pragma unroll
            for (int j = 0; j < V; ++j) {
              sums[i][j] += to_float(values.v[j]) * filters[t * kChannels + place + j];
            }
          }
        }
      }
    }
    if (!works) continue;
#pragma unroll
    for (int i = 0; i < kStrip; ++i) {
      if (column + i >= window.grid.low) break;
      finish_outputs<V>(p.output, 0, p.channels, line * window.grid.low + column + i, channel,
                        sums[i]);
    }
  }
}

template <class T, int V>
__global__ void __launch_bounds__(kThreads, 3)
    conv2d_forward_depthwise_kernel(DepthwiseProblem<T> problem) {
  depthwise_block<V>(problem);
}
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 3)
    conv2d_backward_input_depthwise_kernel(DepthwiseProblem<T> problem) {
  depthwise_block<V>(problem);
}

template <class T>
using Kernel = void (*)(DepthwiseProblem<T>);

template <class T>
void run(const char* op, Kernel<T> by_four, Kernel<T> one_by_one, DepthwiseProblem<T> problem,
         Stream stream) {
  const Window& window = problem.window;
  problem.strips_per_row = divide_up(window.grid.low, kStrip);
  problem.strips = static_cast<int64_t>(window.batch) * window.grid.mid * problem.strips_per_row;
  problem.channel_tiles = divide_up(problem.channels, kChannels);
  const GemmOutput<T>& out = problem.output;
  const bool vectors = problem.divide == 1 && problem.reads == 1 && problem.channels % 4 == 0 &&
                       aligned<4>(problem.image) && aligned<4>(out.data) &&
                       aligned<4>(out.epilogue.bias) && aligned<4>(out.epilogue.residual);
  const int64_t strips_per_block = kThreads / (kChannels / (vectors ? 4 : 1));
  const int64_t blocks = problem.channel_tiles * divide_up(problem.strips, strips_per_block);
  launch(op, vectors ? by_four : one_by_one, Grid{smaller(blocks, kMostBlocks)}, kThreads, 0,
         stream, problem);
}

}  // namespace

template <class T>
void depthwise_forward(const Conv2dShape& s, const T* x, const T* weight,
                       const DeviceEpilogue<T>& epilogue, T* y, Stream stream) {
  DepthwiseProblem<T> problem{};
  problem.image = x;
  problem.weight = weight;
  problem.window = input_window(s);
  problem.channels = s.out_c;
  problem.divide = s.out_c / s.in_c;
  problem.reads = 1;
  problem.filter_taps = s.kernel_h * s.kernel_w;
  problem.tap_stride_h = s.kernel_w;
  problem.tap_stride_w = 1;
  problem.output = plain_problem(0, 0, 0, 1, y, s.out_c, 0).output;
  problem.output.epilogue = epilogue;
  run<T>("conv2d_forward", conv2d_forward_depthwise_kernel<T, 4>,
         conv2d_forward_depthwise_kernel<T, 1>, problem, stream);
}

template <class T>
void depthwise_backward_input(const Conv2dShape& s, const T* dy, const T* weight, T* dx,
                              Stream stream) {
  constexpr const char* op = "conv2d_backward_input";
  if (leaves_pixels_untouched(s)) {
    const int64_t size = s.batch * s.in_h * s.in_w * s.in_c;
    fill_zero(op, dx, static_cast<size_t>(size) * sizeof(T), stream);
  }
  for_each_phase(s, [&](const AxisPhase& h, const AxisPhase& w) {
    DepthwiseProblem<T> problem{};
    problem.image = dy;
    problem.weight = weight;
    problem.window = phase_window(s, h, w);
    problem.channels = s.in_c;
    problem.divide = 1;
    problem.reads = s.out_c / s.in_c;
    problem.filter_taps = s.kernel_h * s.kernel_w;
    problem.first_tap = h.first_tap * s.kernel_w + w.first_tap;
    problem.tap_stride_h = h.tap_stride * s.kernel_w;
    problem.tap_stride_w = w.tap_stride;
    problem.output = plain_problem(0, 0, 0, 1, dx, s.in_c, 0).output;
    problem.output.rows = phase_rows(s, h, w);
    run<T>(op, conv2d_backward_input_depthwise_kernel<T, 4>,
           conv2d_backward_input_depthwise_kernel<T, 1>, problem, stream);
  });
}

#define CONVSMITH_INSTANTIATE(T)                                          \
  template void depthwise_forward(const Conv2dShape&, const T*, const T*, \
                                  const DeviceEpilogue<T>&, T*, Stream);  \
  template void depthwise_backward_input(const Conv2dShape&, const T*, const T*, T*, Stream)
CONVSMITH_INSTANTIATE(float);
CONVSMITH_INSTANTIATE(float16);
CONVSMITH_INSTANTIATE(bfloat16);
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
