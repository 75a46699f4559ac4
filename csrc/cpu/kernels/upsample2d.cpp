// Upsampling (or downsampling) to a given size, NHWC, as torch.nn.functional.interpolate (whose
// nearest takes floor of a float32 scale, and so is a pixel off for some sizes):
//
//   nearest   y[n, i, j, c] = x[n, floor(i in_h / out_h), floor(j in_w / out_w), c]
//   bilinear  y = the four neighbours of the source position, (i + 0.5) in / out - 0.5 clipped at
//             0, or i (in - 1) / (out - 1) with align_corners, weighted by nearness
//
// Nearest forward is a copy; everything else is a separable map (cpu/kernels/separable.h), the
// backward as a gather over the outputs that used a pixel. Positions are computed in double: a
// float loses the fraction's digits on large images.
#include "cpu/arena.h"
#include "cpu/kernels/separable.h"
#include "cpu/kernels_of_isa.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// The two neighbours of an output position, low and low + 1 (the same at the border).
struct Neighbours {
  int64_t low, high;
  float low_weight, high_weight;
};

Neighbours neighbours_of(int64_t o, int64_t size, int64_t out, bool align_corners) {
  double source;
  if (align_corners) {
    source = out > 1 ? static_cast<double>(o) * static_cast<double>(size - 1) /
                           static_cast<double>(out - 1)
                     : 0.0;
  } else {
    source =
        (static_cast<double>(o) + 0.5) * static_cast<double>(size) / static_cast<double>(out) - 0.5;
    source = source > 0.0 ? source : 0.0;
  }
  int64_t low = static_cast<int64_t>(source);
  low = low < size - 1 ? low : size - 1;
  const float fraction = static_cast<float>(source - static_cast<double>(low));
  return {low, low < size - 1 ? low + 1 : low, 1.0f - fraction, fraction};
}

void fill_forward(int64_t size, int64_t out, bool align_corners, Reach* reaches, float* weights) {
  for (int64_t o = 0; o < out; ++o) {
    const Neighbours n = neighbours_of(o, size, out, align_corners);
    reaches[o] = {n.low, n.high - n.low + 1, 2 * o};
    weights[2 * o] = n.high > n.low ? n.low_weight : 1.0f;
    weights[2 * o + 1] = n.high_weight;
  }
}

// weights holds at most two entries an output, input after input.
void fill_backward(int64_t size, int64_t out, bool align_corners, Reach* outputs, Reach* inputs,
                   float* weights) {
  for (int64_t o = 0; o < out; ++o) {
    const Neighbours n = neighbours_of(o, size, out, align_corners);
    outputs[o] = {n.low, n.high - n.low + 1, 0};
  }
  transpose_reaches(outputs, out, inputs, size);
  int64_t used = 0;
  for (int64_t i = 0; i < size; ++i) {
    inputs[i].weight = used;
    for (int64_t k = 0; k < inputs[i].count; ++k) {
      const Neighbours n = neighbours_of(inputs[i].first + k, size, out, align_corners);
      weights[used++] = n.high == n.low ? 1.0f : (n.low == i ? n.low_weight : n.high_weight);
    }
  }
}

struct AxisMemory {
  Reach* outputs;  // [out]
  Reach* inputs;   // [size]
  float* weights;  // [2 * out]
};
struct AxesMemory {
  AxisMemory rows, columns;
};

size_t axes_bytes(const Resample2dShape& s) {
  return static_cast<size_t>(s.in_h + s.in_w + s.out_h + s.out_w) * sizeof(Reach) +
         static_cast<size_t>(2 * (s.out_h + s.out_w)) * sizeof(float);
}

AxesMemory place_axes(const Workspace& workspace, const Resample2dShape& s) {
  Reach* reaches = static_cast<Reach*>(workspace.data);
  float* weights = reinterpret_cast<float*>(reaches + s.in_h + s.in_w + s.out_h + s.out_w);
  return {
      {reaches, reaches + s.out_h, weights},
      {reaches + s.out_h + s.in_h, reaches + s.out_h + s.in_h + s.out_w, weights + 2 * s.out_h}};
}

}  // namespace

void upsample_nearest2d_forward(const Resample2dShape& s, const float* x, float* y) {
  constexpr int64_t kTaskFloats = 1 << 14;
  const int64_t row_floats = s.out_w * s.channels;
  const int64_t band = row_floats < kTaskFloats ? kTaskFloats / row_floats : 1;
  const Workspace workspace(static_cast<size_t>(s.out_w) * sizeof(int64_t));
  int64_t* const columns = static_cast<int64_t*>(workspace.data);
  for (int64_t ow = 0; ow < s.out_w; ++ow) columns[ow] = ow * s.in_w / s.out_w * s.channels;
  parallel_ranges(s.batch * s.out_h, band, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t ih = row % s.out_h * s.in_h / s.out_h;
      const float* from = x + (row / s.out_h * s.in_h + ih) * s.in_w * s.channels;
      float* to = y + row * row_floats;
      for (int64_t ow = 0; ow < s.out_w; ++ow) {
        for_vectors(s.channels, [&](int64_t c, auto lanes) {
          lanes.store(to + ow * s.channels + c, lanes.load(from + columns[ow] + c));
        });
      }
    }
  });
}

void upsample_nearest2d_backward_input(const Resample2dShape& s, const float* dy, float* dx) {
  const Workspace workspace(axes_bytes(s));
  const AxesMemory axes = place_axes(workspace, s);
  for (int64_t o = 0; o < s.out_h; ++o) axes.rows.outputs[o] = {o * s.in_h / s.out_h, 1, 0};
  for (int64_t o = 0; o < s.out_w; ++o) axes.columns.outputs[o] = {o * s.in_w / s.out_w, 1, 0};
  transpose_reaches(axes.rows.outputs, s.out_h, axes.rows.inputs, s.in_h);
  transpose_reaches(axes.columns.outputs, s.out_w, axes.columns.inputs, s.in_w);
  separable_map<Weights::none>({s.batch, s.channels, s.out_h, s.out_w, s.in_h, s.in_w},
                               {axes.rows.inputs, axes.rows.weights},
                               {axes.columns.inputs, axes.columns.weights}, dy, dx);
}

void upsample_bilinear2d_forward(const Resample2dShape& s, bool align_corners, const float* x,
                                 float* y) {
  const Workspace workspace(axes_bytes(s));
  const AxesMemory axes = place_axes(workspace, s);
  fill_forward(s.in_h, s.out_h, align_corners, axes.rows.outputs, axes.rows.weights);
  fill_forward(s.in_w, s.out_w, align_corners, axes.columns.outputs, axes.columns.weights);
  separable_map<Weights::factors>({s.batch, s.channels, s.in_h, s.in_w, s.out_h, s.out_w},
                                  {axes.rows.outputs, axes.rows.weights},
                                  {axes.columns.outputs, axes.columns.weights}, x, y);
}

void upsample_bilinear2d_backward_input(const Resample2dShape& s, bool align_corners,
                                        const float* dy, float* dx) {
  const Workspace workspace(axes_bytes(s));
  const AxesMemory axes = place_axes(workspace, s);
  fill_backward(s.in_h, s.out_h, align_corners, axes.rows.outputs, axes.rows.inputs,
                axes.rows.weights);
  fill_backward(s.in_w, s.out_w, align_corners, axes.columns.outputs, axes.columns.inputs,
                axes.columns.weights);
  separable_map<Weights::factors>({s.batch, s.channels, s.out_h, s.out_w, s.in_h, s.in_w},
                                  {axes.rows.inputs, axes.rows.weights},
                                  {axes.columns.inputs, axes.columns.weights}, dy, dx);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
