// dx[n, ih, iw, ic] = sum_{kh, kw, oc} dy[n, (ih + p - kh*d) / s, (iw + p - kw*d) / s, oc]
//                                      * weight[oc, kh, kw, ic]   where the division is exact
//
// Pixels with the same (ih + p) mod s, (iw + p) mod s meet the same taps: each such stride phase is
// an implicit GEMM of its own (rows: its pixels, depth: its taps and output channels), launched
// with its taps alone, so that no multiplication by zero is done. Phases that no tap meets (a
// kernel smaller than the stride, or a dilation that shares a factor with it) are zero: then dx is
// cleared first. There are at most as many launches as taps.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr const char* kOp = "conv2d_backward_input";

template <class T, class Tile, int V>
__global__ void __launch_bounds__(Tile::kThreads, Tile::BLOCKS)
    conv2d_backward_input_direct_kernel(GemmProblem<T> problem, WindowByPixel<T> dy,
                                        WeightByChannel<T> weight) {
  direct_gemm_block<Tile, V>(problem, dy, weight);
}

struct BackwardInputKernels {
  template <class T, class Tile, int V>
  static auto direct() {
    return &conv2d_backward_input_direct_kernel<T, Tile, V>;
  }
};

template <class T>
void run_phase(const Conv2dShape& s, const AxisPhase& h, const AxisPhase& w, const T* dy,
               const T* weight, T* dx, Algorithm algorithm, Stream stream) {
  const int64_t channels = group_in_c(s), out_channels = group_out_c(s);
  const int64_t filter = s.kernel_h * s.kernel_w * channels;  // elements of one output channel
  GemmProblem<T> problem =
      plain_problem(s.batch * h.pixels * w.pixels, channels, h.taps * w.taps * out_channels,
                    s.groups, dx, s.in_c, channels);
  problem.output.rows = phase_rows(s, h, w);
  const WindowByPixel<T> pixels{dy, out_channels, phase_window(s, h, w), {}};
  WeightByChannel<T> filters{};
  filters.data = weight + (h.first_tap * s.kernel_w + w.first_tap) * channels;
  filters.group_stride = out_channels * filter;
  filters.lines = channels;
  filters.taps_h = static_cast<uint32_t>(h.taps);
  filters.taps = {static_cast<int32_t>(w.taps), static_cast<int32_t>(out_channels)};
  filters.stride_h = h.tap_stride * s.kernel_w * channels;
  filters.stride_w = w.tap_stride * channels;
  filters.stride_c = filter;
  if (takes_tensor_cores(s, algorithm, dy, weight)) {
    backward_input_on_tensor_cores(problem, pixels, filters, stream);
  } else {
    const bool vectors =
        channels % 4 == 0 && out_channels % 4 == 0 && aligned<4>(dy) && aligned<4>(weight);
    launch_direct<BackwardInputKernels>(kOp, problem, pixels, filters, vectors, stream);
  }
}

}  // namespace

template <class T>
void conv2d_backward_input(const Conv2dShape& s, const T* dy, const T* weight, T* dx,
                           Algorithm algorithm, Stream stream) {
  if (s.batch == 0) return;
  if (is_depthwise(s)) return depthwise_backward_input(s, dy, weight, dx, stream);
  const int64_t channels = group_in_c(s), out_channels = group_out_c(s);
  if (is_plain_product(s)) {
    return multiply_matrices<T>(
        kOp,
        plain_problem(output_pixels(s), channels, out_channels, s.groups, dx, s.in_c, channels),
        {dy, s.out_c, out_channels, true}, {weight, channels, out_channels * channels, false},
        algorithm, stream);
  }
  if (leaves_pixels_untouched(s)) {
    const int64_t size = s.batch * s.in_h * s.in_w * s.in_c;
    fill_zero(kOp, dx, static_cast<size_t>(size) * sizeof(T), stream);
  }
  for_each_phase(s, [&](const AxisPhase& h, const AxisPhase& w) {
    run_phase(s, h, w, dy, weight, dx, algorithm, stream);
  });
}

template void conv2d_backward_input(const Conv2dShape&, const float*, const float*, float*,
                                    Algorithm, Stream);
template void conv2d_backward_input(const Conv2dShape&, const float16*, const float16*, float16*,
                                    Algorithm, Stream);
template void conv2d_backward_input(const Conv2dShape&, const bfloat16*, const bfloat16*, bfloat16*,
                                    Algorithm, Stream);

}  // namespace convsmith::cuda
