// dx[n, ih, iw, ic] = sum_{kh, kw, oc} dy[n, (ih + p - kh*d) / s, (iw + p - kw*d) / s, oc]
//                                      * weight[oc, kh, kw, ic]   where the division is exact
//
// Pixels with the same (ih + p) mod s, (iw + p) mod s meet the same taps: each such stride phase is
// a dense stride-1 problem of its own, and no multiplication by zero is done. A phase that no tap
// meets (a kernel smaller than the stride) is an empty sum and writes zeros.
#include "cpu/arena.h"
#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/kernels/conv2d_window.h"
#include "cpu/kernels_of_isa.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// The taps and pixels of one phase along one axis.
struct Phase {
  int64_t taps, first_pixel, pixels;
};

// tap_index[i], tap_offset[i]: the filter positions of the phase, and where output row j of the
// phase reads: dy row j + tap_offset.
Phase phase_of(int64_t phase, int64_t in, int64_t kernel, int64_t stride, int64_t dilation,
               int64_t pad, int64_t* tap_index, int64_t* tap_offset) {
  Phase result{0, 0, 0};
  result.first_pixel = ((phase - pad) % stride + stride) % stride;
  result.pixels = result.first_pixel < in ? (in - result.first_pixel + stride - 1) / stride : 0;
  for (int64_t k = 0; k < kernel; ++k) {
    const int64_t distance = result.first_pixel + pad - k * dilation;
    if (distance % stride != 0) continue;
    tap_index[result.taps] = k;
    tap_offset[result.taps] = distance / stride;
    ++result.taps;
  }
  return result;
}

// Row k = (tap, oc) of B is weight[oc, tap, :].
struct WeightRows {
  const float* weight;
  const int64_t* taps;
  int64_t out_channels, weight_stride, channels;
};

const float* weight_row(const void* context, int64_t k) {
  const WeightRows& w = *static_cast<const WeightRows*>(context);
  return w.weight + k % w.out_channels * w.weight_stride + w.taps[k / w.out_channels] * w.channels;
}

}  // namespace

void conv2d_backward_input(const Conv2dShape& s, const float* dy, const float* weight, float* dx) {
  if (s.batch == 0) return;
  if (is_depthwise(s)) return depthwise_backward_input(s, dy, weight, dx);
  const int64_t channels = s.in_c / s.groups, out_channels = s.out_c / s.groups;
  const int64_t taps = s.kernel_h * s.kernel_w;
  // A phase beyond the image has no pixels, so large strides cost nothing.
  const int64_t phases_h = s.stride_h < s.in_h ? s.stride_h : s.in_h;
  const int64_t phases_w = s.stride_w < s.in_w ? s.stride_w : s.in_w;
  const int64_t most = phases_h * phases_w * s.groups;

  // Every tap belongs to one phase.
  Workspace tap_memory(static_cast<size_t>(3 * taps + 2 * (s.kernel_h + s.kernel_w)) *
                       sizeof(int64_t));
  int64_t* axis_taps = static_cast<int64_t*>(tap_memory.data);
  int64_t *index_h = axis_taps, *offset_h = index_h + s.kernel_h;
  int64_t *index_w = offset_h + s.kernel_h, *offset_w = index_w + s.kernel_w;
  int64_t* next_taps = offset_w + s.kernel_w;

  const int64_t packed_rows = packed_floats(1, channels);  // floats for one row of B
  Workspace packed(static_cast<size_t>(packed_rows * taps * s.out_c) * sizeof(float));
  float* next_packed = packed.floats;
  Workspace problem_memory(static_cast<size_t>(most) * (sizeof(Window) + sizeof(ImplicitGemm)));
  Window* windows = static_cast<Window*>(problem_memory.data);
  ImplicitGemm* problems = reinterpret_cast<ImplicitGemm*>(windows + most);

  int64_t count = 0;
  for (int64_t ph = 0; ph < phases_h; ++ph) {
    const Phase h = phase_of((ph + s.pad_top) % s.stride_h, s.in_h, s.kernel_h, s.stride_h,
                             s.dilation_h, s.pad_top, index_h, offset_h);
    for (int64_t pw = 0; pw < phases_w; ++pw) {
      const Phase w = phase_of((pw + s.pad_left) % s.stride_w, s.in_w, s.kernel_w, s.stride_w,
                               s.dilation_w, s.pad_left, index_w, offset_w);
      const int64_t phase_taps = h.taps * w.taps;
      int64_t *tap_index = next_taps, *tap_h = tap_index + phase_taps, *tap_w = tap_h + phase_taps;
      next_taps = tap_w + phase_taps;
      for (int64_t t = 0; t < phase_taps; ++t) {
        tap_index[t] = index_h[t / w.taps] * s.kernel_w + index_w[t % w.taps];
        tap_h[t] = offset_h[t / w.taps];
        tap_w[t] = offset_w[t % w.taps];
      }
      for (int64_t g = 0; g < s.groups; ++g) {
        const WeightRows rows{weight + g * out_channels * taps * channels, tap_index, out_channels,
                              taps * channels, channels};
        const int64_t gemm_k = phase_taps * out_channels;
        pack_rows(weight_row, &rows, gemm_k, channels, next_packed);
        windows[count] = {dy + g * out_channels,
                          s.out_h,
                          s.out_w,
                          s.out_c,
                          h.pixels,
                          w.pixels,
                          1,
                          1,
                          tap_h,
                          tap_w,
                          dx + g * channels,
                          s.in_h,
                          s.in_w,
                          s.in_c,
                          h.first_pixel,
                          w.first_pixel,
                          s.stride_h,
                          s.stride_w};
        ImplicitGemm& p = problems[count];
        p.gemm_m = s.batch * h.pixels * w.pixels;
        p.gemm_n = channels;
        p.taps = phase_taps;
        p.depth = out_channels;
        p.fill_rows = point_at_window;
        p.fill_outputs = point_at_window_outputs;
        p.context = &windows[count];
        p.gathers = false;
        p.copy_rows = rows_alias(s.out_c) && channels > kPanelColumns;
        p.packed_b = next_packed;
        p.alpha = 1.0f;
        p.beta = 0.0f;
        p.epilogue = {nullptr, nullptr, Activation::identity, 0.0f};
        p.c_origin = dx;
        next_packed += packed_rows * gemm_k;
        ++count;
      }
    }
  }
  implicit_gemm(problems, count);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
