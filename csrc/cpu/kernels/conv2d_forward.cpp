// y[n, oh, ow, oc] = activation(sum_{kh, kw, ic} x[n, oh*s - p + kh*d, ow*s - p + kw*d, ic]
//                                                * weight[oc, kh, kw, ic] + bias + residual)
//
// Implicit GEMM: batch, out_h and out_w flattened into rows, so that 7x7 maps waste none; the
// filter taps are the taps of the engine. With few input channels the window is gathered row by
// row instead: a tap of 3 numbers would spend its time on pointers.
#include "cpu/arena.h"
#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/kernels/conv2d_window.h"
#include "cpu/kernels_of_isa.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kGatherBelowChannels = 16;

}  // namespace

void conv2d_forward(const Conv2dShape& s, const float* x, const float* weight,
                    const Epilogue& epilogue, float* y) {
  if (s.batch == 0) return;
  if (is_depthwise(s)) return depthwise_forward(s, x, weight, epilogue, y);
  const int64_t channels = s.in_c / s.groups, out_channels = s.out_c / s.groups;
  const int64_t taps = s.kernel_h * s.kernel_w, gemm_k = taps * channels;
  const bool gathers = channels < kGatherBelowChannels && taps > 1;
  const bool merges_rows = gathers && s.groups == 1 && s.dilation_w == 1;

  Workspace tap_memory(static_cast<size_t>(2 * taps) * sizeof(int64_t));
  int64_t* tap_h = static_cast<int64_t*>(tap_memory.data);
  int64_t* tap_w = tap_h + taps;
  const int64_t runs = merges_rows ? s.kernel_h : taps;
  const int64_t taps_per_run = taps / runs;
  for (int64_t run = 0; run < runs; ++run) {
    const int64_t tap = run * taps_per_run;
    tap_h[run] = tap / s.kernel_w * s.dilation_h - s.pad_top;
    tap_w[run] = tap % s.kernel_w * s.dilation_w - s.pad_left;
  }

  const int64_t packed_size = packed_floats(gemm_k, out_channels);
  Workspace packed(static_cast<size_t>(packed_size * s.groups) * sizeof(float));
  Workspace group_memory(static_cast<size_t>(s.groups) *
                         (sizeof(WindowRuns) + sizeof(ImplicitGemm)));
  WindowRuns* windows = static_cast<WindowRuns*>(group_memory.data);
  ImplicitGemm* problems = reinterpret_cast<ImplicitGemm*>(windows + s.groups);
  for (int64_t g = 0; g < s.groups; ++g) {
    float* b = packed.floats + g * packed_size;
    pack_transposed(weight + g * out_channels * gemm_k, gemm_k, gemm_k, out_channels, b);
    windows[g] = {
        {x + g * channels, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.stride_h, s.stride_w, tap_h,
         tap_w, y + g * out_channels, s.out_h, s.out_w, s.out_c, 0, 0, 1, 1},
        runs,
        taps_per_run,
        channels};
    ImplicitGemm& p = problems[g];
    p.gemm_m = s.batch * s.out_h * s.out_w;
    p.gemm_n = out_channels;
    p.taps = gathers ? 1 : taps;
    p.depth = gathers ? gemm_k : channels;
    p.fill_rows = gathers ? gather_window : point_at_window;
    p.fill_outputs = point_at_window_outputs;
    p.context = gathers ? static_cast<const void*>(&windows[g])
                        : static_cast<const void*>(&windows[g].window);
    p.gathers = gathers;
    p.copy_rows = !gathers && rows_alias(s.in_c * s.stride_w) && out_channels > kPanelColumns;
    p.packed_b = b;
    p.alpha = 1.0f;
    p.beta = 0.0f;
    p.epilogue = epilogue;
    if (epilogue.bias != nullptr) p.epilogue.bias = epilogue.bias + g * out_channels;
    p.c_origin = y;
  }
  implicit_gemm(problems, s.groups);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
