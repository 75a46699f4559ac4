// y[n, oh, ow, c] = activation(sum_{kh, kw} x[n, oh*s - p + kh*d, ow*s - p + kw*d, c] * w[c, kh, kw]
//                              + bias[c] + residual)
//
// Tasks are image lines. The filter is transposed to [tap][channels] once. For a line the taps that
// reach an image line are listed first; along the line the pixels whose taps all lie inside take
// the loop without bounds checks, four at a time, so that a filter vector is used four times.
#include "cpu/kernels/conv2d_depthwise.h"

#include "cpu/arena.h"
#include "cpu/kernels/epilogue.h"
#include "cpu/kernels/implicit_gemm.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int kPixels = 4;

CONVSMITH_INLINE int64_t minimum(int64_t a, int64_t b) { return a < b ? a : b; }

// filter[tap * stride + c] = weight[c * taps + tap]
int64_t filter_stride(const Conv2dShape& s) {
  return (s.in_c + kLanes - 1) / kLanes * kLanes + kLanes;
}
void transpose_filter(const Conv2dShape& s, const float* weight, float* filter) {
  const int64_t taps = s.kernel_h * s.kernel_w;
  transpose(weight, taps, s.in_c, taps, filter, filter_stride(s));
}

// One tap of a line: where pixel 0 of the output line reads, and which pixels stay inside.
struct LineTap {
  const float* source;    // of output pixel 0, channel 0 (may lie before the line)
  const float* filter;
  int64_t begin, end;     // output pixels whose source lies inside the image line
};

// The sum over the taps of P neighbouring pixels, one vector of channels.
template <int P>
CONVSMITH_INLINE void sum_taps(const LineTap* taps, int64_t count, int64_t pixel,
                               int64_t pixel_step, int64_t c, int64_t lanes, bool checked,
                               Vec (&acc)[P]) {
  for (int64_t t = 0; t < count; ++t) {
    const LineTap& tap = taps[t];
    const Vec w = load(tap.filter + c);
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) {
      if (checked && (pixel + i < tap.begin || pixel + i >= tap.end)) continue;
      const float* from = tap.source + (pixel + i) * pixel_step + c;
      acc[i] += w * (lanes == kLanes ? load(from) : load_first(from, lanes));
    }
  }
}

// A line of `pixels` outputs, `output_step` apart.
void compute_line(const LineTap* taps, int64_t count, int64_t pixels, int64_t pixel_step,
                  int64_t channels, const Epilogue& epilogue, const float* residual, float* output,
                  int64_t output_step) {
  int64_t inner_begin = 0, inner_end = pixels;
  for (int64_t t = 0; t < count; ++t) {
    if (taps[t].begin > inner_begin) inner_begin = taps[t].begin;
    if (taps[t].end < inner_end) inner_end = taps[t].end;
  }
  for (int64_t c = 0; c < channels; c += kLanes) {
    const int64_t lanes = minimum(kLanes, channels - c);
    const Vec bias =
        epilogue.bias != nullptr ? load_first(epilogue.bias + c, lanes) : Vec{};
    for (int64_t pixel = 0; pixel < pixels;) {
      Vec acc[kPixels] = {};
      const bool inner = pixel >= inner_begin && pixel + kPixels <= inner_end;
      const int64_t step = inner ? kPixels : 1;
      if (inner) {
        sum_taps<kPixels>(taps, count, pixel, pixel_step, c, lanes, false, acc);
      } else {
        Vec one[1] = {};
        sum_taps<1>(taps, count, pixel, pixel_step, c, lanes, true, one);
        acc[0] = one[0];
      }
      for (int64_t i = 0; i < step; ++i) {
        const int64_t offset = (pixel + i) * output_step + c;
        Vec value = acc[i] + bias;
        if (residual != nullptr) value += load_first(residual + offset, lanes);
        value = activate(value, epilogue.activation, epilogue.negative_slope);
        if (lanes == kLanes) {
          store(output + offset, value);
        } else {
          store_first(output + offset, value, lanes);
        }
      }
      pixel += step;
    }
  }
  if (runs_over_finished_block(epilogue.activation)) {
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      float* row = output + pixel * output_step;
      activation_forward(epilogue.activation, epilogue.negative_slope, channels, row, row);
    }
  }
}

// Pixels p with 0 <= first + p * step < size, as [begin, end) within [0, pixels).
void clip(int64_t first, int64_t step, int64_t size, int64_t pixels, int64_t* begin, int64_t* end) {
  *begin = first >= 0 ? 0 : (-first + step - 1) / step;
  *end = first >= size ? 0 : minimum(pixels, (size - first + step - 1) / step);
  if (*end < *begin) *end = *begin;
}

}  // namespace

void depthwise_forward(const Conv2dShape& s, const float* x, const float* weight,
                       const Epilogue& epilogue, float* y) {
  const int64_t taps = s.kernel_h * s.kernel_w, stride = filter_stride(s);
  Workspace filter(static_cast<size_t>(taps * stride) * sizeof(float));
  transpose_filter(s, weight, filter.floats);
  const int workers = num_threads();
  Workspace lists(static_cast<size_t>(workers * taps) * sizeof(LineTap));
  parallel_for(s.batch * s.out_h, workers, [&](int64_t line, int worker) {
    LineTap* list = static_cast<LineTap*>(lists.data) + worker * taps;
    const int64_t n = line / s.out_h, oh = line % s.out_h;
    int64_t count = 0;
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t ih = oh * s.stride_h - s.pad_top + tap / s.kernel_w * s.dilation_h;
      const int64_t iw = tap % s.kernel_w * s.dilation_w - s.pad_left;
      if (ih < 0 || ih >= s.in_h) continue;
      LineTap& t = list[count];
      clip(iw, s.stride_w, s.in_w, s.out_w, &t.begin, &t.end);
      if (t.begin == t.end) continue;
      t.source = x + ((n * s.in_h + ih) * s.in_w + iw) * s.in_c;
      t.filter = filter.floats + tap * stride;
      ++count;
    }
    const int64_t offset = line * s.out_w * s.out_c;
    compute_line(list, count, s.out_w, s.stride_w * s.in_c, s.in_c, epilogue,
                 epilogue.residual != nullptr ? epilogue.residual + offset : nullptr, y + offset,
                 s.out_c);
  });
}

void depthwise_backward_input(const Conv2dShape& s, const float* dy, const float* weight,
                              float* dx) {
  const int64_t taps = s.kernel_h * s.kernel_w, stride = filter_stride(s);
  Workspace filter(static_cast<size_t>(taps * stride) * sizeof(float));
  transpose_filter(s, weight, filter.floats);
  const Epilogue none{nullptr, nullptr, Activation::identity, 0.0f};
  const int workers = num_threads();
  Workspace lists(static_cast<size_t>(workers * taps) * sizeof(LineTap));
  parallel_for(s.batch * s.in_h, workers, [&](int64_t line, int worker) {
    LineTap* list = static_cast<LineTap*>(lists.data) + worker * taps;
    const int64_t n = line / s.in_h, ih = line % s.in_h;
    // Pixels of one stride phase meet the same taps.
    for (int64_t first = 0; first < minimum(s.stride_w, s.in_w); ++first) {
      const int64_t pixels = (s.in_w - first + s.stride_w - 1) / s.stride_w;
      int64_t count = 0;
      for (int64_t tap = 0; tap < taps; ++tap) {
        const int64_t down = ih + s.pad_top - tap / s.kernel_w * s.dilation_h;
        const int64_t right = first + s.pad_left - tap % s.kernel_w * s.dilation_w;
        if (down % s.stride_h != 0 || right % s.stride_w != 0) continue;
        const int64_t oh = down / s.stride_h, ow = right / s.stride_w;
        if (oh < 0 || oh >= s.out_h) continue;
        LineTap& t = list[count];
        clip(ow, 1, s.out_w, pixels, &t.begin, &t.end);
        if (t.begin == t.end) continue;
        t.source = dy + ((n * s.out_h + oh) * s.out_w + ow) * s.out_c;
        t.filter = filter.floats + tap * stride;
        ++count;
      }
      compute_line(list, count, pixels, s.out_c, s.in_c, none, nullptr,
                   dx + (line * s.in_w + first) * s.in_c, s.stride_w * s.in_c);
    }
  });
}

namespace {

constexpr int kColumnTaps = 4;  // filter columns summed together in registers

// acc[j] += sum over the line's pixels of dy * x for filter columns kw + j, j < count.
void sum_line(const Conv2dShape& s, const float* x_line, const float* dy_line, int64_t kw,
              int count, int64_t c, int64_t lanes, Vec (&acc)[kColumnTaps]) {
  const float* source[kColumnTaps];
  int64_t begin[kColumnTaps], end[kColumnTaps];
  int64_t inner_begin = 0, inner_end = s.out_w;
  for (int j = 0; j < kColumnTaps; ++j) {
    const int64_t iw = (kw + minimum(j, count - 1)) * s.dilation_w - s.pad_left;
    clip(iw, s.stride_w, s.in_w, s.out_w, &begin[j], &end[j]);
    source[j] = x_line + iw * s.in_c + c;
    if (begin[j] > inner_begin) inner_begin = begin[j];
    if (end[j] < inner_end) inner_end = end[j];
  }
  const int64_t step = s.stride_w * s.in_c;
  for (int64_t ow = 0; ow < s.out_w; ++ow) {
    const Vec d = load_first(dy_line + ow * s.out_c + c, lanes);
    const bool inner = ow >= inner_begin && ow < inner_end;
#pragma GCC unroll 4
    for (int j = 0; j < kColumnTaps; ++j) {
      if (!inner && (ow < begin[j] || ow >= end[j])) continue;
      acc[j] += d * load_first(source[j] + ow * step, lanes);
    }
  }
}

}  // namespace

// dweight[c, kh, kw] = sum_{n, oh, ow} dy[n, oh, ow, c] * x[n, oh*s - p + kh*d, ow*s - p + kw*d, c]
// Tasks: a block of lines x a vector of channels, each with its own sums; blocks are then added in
// order.
void depthwise_backward_weight(const Conv2dShape& s, const float* x, const float* dy,
                               float* dweight) {
  const int64_t taps = s.kernel_h * s.kernel_w, lines = s.batch * s.out_h;
  const int64_t vectors = (s.in_c + kLanes - 1) / kLanes;
  const int64_t wanted = vectors >= 16 ? 1 : (16 + vectors - 1) / vectors;
  const int64_t lines_per_block = (lines + wanted - 1) / wanted;
  const int64_t blocks = (lines + lines_per_block - 1) / lines_per_block;
  Workspace sums(static_cast<size_t>(blocks * vectors * taps * kLanes) * sizeof(float));
  parallel_for(blocks * vectors, num_threads(), [&](int64_t task, int) {
    const int64_t block = task / vectors, c = task % vectors * kLanes;
    const int64_t lanes = minimum(kLanes, s.in_c - c);
    float* sum = sums.floats + task * taps * kLanes;
    for (int64_t i = 0; i < taps * kLanes; i += kLanes) store(sum + i, Vec{});
    for (int64_t line = block * lines_per_block; line < minimum(lines, (block + 1) * lines_per_block);
         ++line) {
      const int64_t n = line / s.out_h, oh = line % s.out_h;
      for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
        const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
        if (ih < 0 || ih >= s.in_h) continue;
        for (int64_t kw = 0; kw < s.kernel_w; kw += kColumnTaps) {
          const int count = static_cast<int>(minimum(kColumnTaps, s.kernel_w - kw));
          Vec acc[kColumnTaps] = {};
          sum_line(s, x + (n * s.in_h + ih) * s.in_w * s.in_c, dy + line * s.out_w * s.out_c, kw,
                   count, c, lanes, acc);
          float* to = sum + (kh * s.kernel_w + kw) * kLanes;
          for (int j = 0; j < count; ++j) store(to + j * kLanes, load(to + j * kLanes) + acc[j]);
        }
      }
    }
  });
  for (int64_t c = 0; c < s.in_c; ++c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      float total = 0.0f;
      for (int64_t block = 0; block < blocks; ++block) {
        total += sums.floats[((block * vectors + c / kLanes) * taps + tap) * kLanes + c % kLanes];
      }
      dweight[c * taps + tap] = total;
    }
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
