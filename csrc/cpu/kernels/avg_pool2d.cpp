// Average pooling and adaptive average pooling, NHWC:
//
//   y[n, oh, ow, c] = sum of x over the window / (rows counted * columns counted)
//
// avg_pool2d counts as PyTorch: with count_include_pad the elements inside the declared padding
// too, else only those of the input; what ceil_mode reaches beyond the padding never counts. The
// adaptive windows are [floor(i in / out), ceil((i + 1) in / out)). The divisor is a product of a
// row part and a column part, so all four kernels are separable maps (cpu/kernels/separable.h):
// forward a sum, then one division; backward a sum of dy times the reciprocals.
#include "cpu/arena.h"
#include "cpu/kernels/separable.h"
#include "cpu/kernels_of_isa.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// One axis of a pooling: the windows, how many elements each counts (backward: the reciprocal),
// and the inputs' view of the windows.
struct PoolAxis {
  Reach* windows;  // [out]
  Reach* inputs;   // [size]
  float* counts;   // [out]
};

size_t axis_bytes(int64_t size, int64_t out) {
  return static_cast<size_t>(size + out) * sizeof(Reach) + static_cast<size_t>(out) * sizeof(float);
}

// The reaches of both axes come before the counts of both: all stay aligned.
struct PoolAxes {
  PoolAxis rows, columns;
};
PoolAxes place_axes(const Workspace& workspace, int64_t in_h, int64_t in_w, int64_t out_h,
                    int64_t out_w) {
  Reach* reaches = static_cast<Reach*>(workspace.data);
  float* counts = reinterpret_cast<float*>(reaches + in_h + in_w + out_h + out_w);
  return {{reaches, reaches + out_h, counts},
          {reaches + out_h + in_h, reaches + out_h + in_h + out_w, counts + out_h}};
}

void set_window(const PoolAxis& axis, int64_t o, int64_t first, int64_t end, int64_t counted) {
  axis.windows[o] = reach_between(first, end, o);
  axis.counts[o] = static_cast<float>(counted > 1 ? counted : 1);
}

void fill_pool_axis(const PoolAxis& axis, int64_t size, int64_t out, int64_t kernel, int64_t stride,
                    int64_t pad_before, int64_t pad_after, bool count_include_pad) {
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = o * stride - pad_before;
    const int64_t stop = start + kernel;
    const int64_t first = start < 0 ? 0 : (start < size ? start : size);
    const int64_t end = stop < 0 ? 0 : (stop < size ? stop : size);
    const int64_t padded_end = stop < size + pad_after ? stop : size + pad_after;
    set_window(axis, o, first, end, count_include_pad ? padded_end - start : end - first);
  }
  transpose_reaches(axis.windows, out, axis.inputs, size);
}

void fill_adaptive_axis(const PoolAxis& axis, int64_t size, int64_t out) {
  for (int64_t o = 0; o < out; ++o) {
    const int64_t first = o * size / out;
    const int64_t end = ((o + 1) * size + out - 1) / out;
    set_window(axis, o, first, end, end - first);
  }
  transpose_reaches(axis.windows, out, axis.inputs, size);
}

void fill_axes(const Pool2dShape& s, bool count_include_pad, const PoolAxes& axes) {
  fill_pool_axis(axes.rows, s.in_h, s.out_h, s.kernel_h, s.stride_h, s.pad_top, s.pad_bottom,
                 count_include_pad);
  fill_pool_axis(axes.columns, s.in_w, s.out_w, s.kernel_w, s.stride_w, s.pad_left, s.pad_right,
                 count_include_pad);
}

void fill_axes(const Resample2dShape& s, bool, const PoolAxes& axes) {
  fill_adaptive_axis(axes.rows, s.in_h, s.out_h);
  fill_adaptive_axis(axes.columns, s.in_w, s.out_w);
}

void invert(float* values, int64_t size) {
  for (int64_t i = 0; i < size; ++i) values[i] = 1.0f / values[i];
}

template <bool kForward, class Shape>
void run(const Shape& s, bool count_include_pad, const float* from, float* to) {
  const Workspace workspace(axis_bytes(s.in_h, s.out_h) + axis_bytes(s.in_w, s.out_w));
  const PoolAxes axes = place_axes(workspace, s.in_h, s.in_w, s.out_h, s.out_w);
  fill_axes(s, count_include_pad, axes);
  if (kForward) {
    separable_map<Weights::divisors>({s.batch, s.channels, s.in_h, s.in_w, s.out_h, s.out_w},
                                     {axes.rows.windows, axes.rows.counts},
                                     {axes.columns.windows, axes.columns.counts}, from, to);
  } else {
    invert(axes.rows.counts, s.out_h);
    invert(axes.columns.counts, s.out_w);
    separable_map<Weights::factors>({s.batch, s.channels, s.out_h, s.out_w, s.in_h, s.in_w},
                                    {axes.rows.inputs, axes.rows.counts},
                                    {axes.columns.inputs, axes.columns.counts}, from, to);
  }
}

}  // namespace

void avg_pool2d_forward(const Pool2dShape& shape, bool count_include_pad, const float* x,
                        float* y) {
  run<true>(shape, count_include_pad, x, y);
}

void avg_pool2d_backward_input(const Pool2dShape& shape, bool count_include_pad, const float* dy,
                               float* dx) {
  run<false>(shape, count_include_pad, dy, dx);
}

void adaptive_avg_pool2d_forward(const Resample2dShape& shape, const float* x, float* y) {
  run<true>(shape, false, x, y);
}

void adaptive_avg_pool2d_backward_input(const Resample2dShape& shape, const float* dy, float* dx) {
  run<false>(shape, false, dy, dx);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
