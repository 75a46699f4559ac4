// y[n, oh, ow, c] = activation(sum_{kh, kw} x[n, oh*s - p + kh*d, ow*s - p + kw*d, c] * w[c, kh,
// kw]
//                              + bias[c] + residual)
//
// Tasks are image lines. The filter is transposed to [tap][channels] once. For a line the taps that
// reach an image line are listed first; along the line the pixels whose taps all lie inside take
// the loop without bounds checks, kPixels at a time, so that a filter vector is used as often.
// kVectors neighbouring vectors of channels go together: with many channels a pixel is kilobytes
// from the next, and a single vector of each would use a cache line a page.
#include "cpu/kernels/conv2d_depthwise.h"

#include "cpu/arena.h"
#include "cpu/kernels/epilogue.h"
#include "cpu/kernels/implicit_gemm.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// kPixels * kVectors sums and kVectors of filter fit the registers.
#if defined(__AVX512F__)
constexpr int kPixels = 4, kVectors = 4;
#else
constexpr int kPixels = 2, kVectors = 4;
#endif

// filter[tap * stride + c] = weight[c * taps + tap]
int64_t filter_stride(const Conv2dShape& s) { return round_up(s.in_c, kLanes) + kLanes; }
void transpose_filter(const Conv2dShape& s, const float* weight, float* filter) {
  const int64_t taps = s.kernel_h * s.kernel_w;
  transpose(weight, taps, s.in_c, taps, filter, filter_stride(s));
}

// One tap of a line: where pixel 0 of the output line reads, and which pixels stay inside.
struct LineTap {
  const float* source;  // of output pixel 0, channel 0 (may lie before the line)
  const float* filter;
  int64_t begin, end;  // output pixels whose source lies inside the image line
};

// V vectors of channels, the last one of `lanes` channels when V is 1.
template <int V>
CONVSMITH_INLINE Vec load_channels(const float* p, int v, int64_t lanes) {
  return V > 1 || lanes == kLanes ? load(p + v * kLanes) : load_first(p, lanes);
}

// The sum over the taps of P neighbouring pixels.
template <int P, int V>
CONVSMITH_INLINE void sum_taps(const LineTap* taps, int64_t count, int64_t pixel,
                               int64_t pixel_step, int64_t c, int64_t lanes, Vec (&acc)[P][V]) {
  for (int64_t t = 0; t < count; ++t) {
    const LineTap& tap = taps[t];
    if (P == 1 && (pixel < tap.begin || pixel >= tap.end)) continue;
    const float* from = tap.source + pixel * pixel_step + c;
    Vec w[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) w[v] = load(tap.filter + c + v * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < P; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[i][v] += w[v] * load_channels<V>(from, v, lanes);
      from += pixel_step;
    }
  }
}

// A line of `pixels` outputs, `output_step` apart.
struct Line {
  const LineTap* taps;
  int64_t count, inner_begin, inner_end;  // all taps lie inside for pixels [inner_begin, inner_end)
  int64_t pixels, pixel_step, output_step;
  const Epilogue* epilogue;
  const float* residual;
  float* output;
};

template <int P, int V>
CONVSMITH_INLINE void compute_pixels(const Line& line, int64_t pixel, int64_t c, int64_t lanes) {
  Vec acc[P][V] = {};
  sum_taps<P, V>(line.taps, line.count, pixel, line.pixel_step, c, lanes, acc);
  const Epilogue& epilogue = *line.epilogue;
#pragma GCC unroll 4
  for (int i = 0; i < P; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const int64_t channel = c + v * kLanes, offset = (pixel + i) * line.output_step + channel;
      Vec value = acc[i][v];
      if (epilogue.bias != nullptr) value += load_channels<V>(epilogue.bias + channel, 0, lanes);
      if (line.residual != nullptr) value += load_channels<V>(line.residual + offset, 0, lanes);
      value = apply_activation(value, epilogue.activation, epilogue.negative_slope);
      if (V > 1 || lanes == kLanes) {
        store(line.output + offset, value);
      } else {
        store_first(line.output + offset, value, lanes);
      }
    }
  }
}

template <int V>
void compute_channels(const Line& line, int64_t c, int64_t lanes) {
  for (int64_t pixel = 0; pixel < line.pixels;) {
    if (pixel >= line.inner_begin && pixel + kPixels <= line.inner_end) {
      compute_pixels<kPixels, V>(line, pixel, c, lanes);
      pixel += kPixels;
    } else {
      compute_pixels<1, V>(line, pixel, c, lanes);
      ++pixel;
    }
  }
}

void compute_line(Line line, int64_t channels) {
  line.inner_begin = 0;
  line.inner_end = line.pixels;
  for (int64_t t = 0; t < line.count; ++t) {
    if (line.taps[t].begin > line.inner_begin) line.inner_begin = line.taps[t].begin;
    if (line.taps[t].end < line.inner_end) line.inner_end = line.taps[t].end;
  }
  int64_t c = 0;
  for (; c + kVectors * kLanes <= channels; c += kVectors * kLanes) {
    compute_channels<kVectors>(line, c, kLanes);
  }
  for (; c < channels; c += kLanes) compute_channels<1>(line, c, minimum(kLanes, channels - c));
  const Epilogue& epilogue = *line.epilogue;
  if (runs_over_finished_block(epilogue.activation)) {
    for (int64_t pixel = 0; pixel < line.pixels; ++pixel) {
      float* row = line.output + pixel * line.output_step;
      activation_forward(epilogue.activation, epilogue.negative_slope, channels, row, row);
    }
  }
}

// Pixels p with 0 <= first + p * step < size, as [begin, end) within [0, pixels).
void clip(int64_t first, int64_t step, int64_t size, int64_t pixels, int64_t* begin, int64_t* end) {
  *begin = first >= 0 ? 0 : divide_up(-first, step);
  *end = first >= size ? 0 : minimum(pixels, divide_up(size - first, step));
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
    const float* residual = epilogue.residual != nullptr ? epilogue.residual + offset : nullptr;
    compute_line(
        {list, count, 0, 0, s.out_w, s.stride_w * s.in_c, s.out_c, &epilogue, residual, y + offset},
        s.in_c);
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
      const int64_t pixels = divide_up(s.in_w - first, s.stride_w);
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
      compute_line({list, count, 0, 0, pixels, s.out_c, s.stride_w * s.in_c, &none, nullptr,
                    dx + (line * s.in_w + first) * s.in_c},
                   s.in_c);
    }
  });
}

namespace {

constexpr int kColumnTaps = 3;  // filter columns summed together in registers

// sums[tap][v] += sum over the line's pixels of dy * x, for filter columns [kw, kw + count).
template <int V>
void sum_line(const Conv2dShape& s, const float* x_line, const float* dy_line, int64_t kw,
              int64_t count, int64_t c, int64_t lanes, float* sums, int64_t sums_stride) {
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
  Vec acc[kColumnTaps][V] = {};
  for (int64_t ow = 0; ow < s.out_w; ++ow) {
    Vec d[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) d[v] = load_channels<V>(dy_line + ow * s.out_c + c, v, lanes);
    const bool inner = ow >= inner_begin && ow < inner_end;
#pragma GCC unroll 4
    for (int j = 0; j < kColumnTaps; ++j) {
      if (!inner && (ow < begin[j] || ow >= end[j])) continue;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        acc[j][v] += d[v] * load_channels<V>(source[j] + ow * step, v, lanes);
      }
    }
  }
  for (int j = 0; j < count; ++j) {
    for (int v = 0; v < V; ++v) {
      float* to = sums + j * sums_stride + v * kLanes;
      store(to, load(to) + acc[j][v]);
    }
  }
}

// One block of lines, V vectors of channels from c on; sums is [taps][sums_stride].
template <int V>
void sum_lines(const Conv2dShape& s, const float* x, const float* dy, int64_t first, int64_t last,
               int64_t c, int64_t lanes, float* sums, int64_t sums_stride) {
  for (int64_t tap = 0; tap < s.kernel_h * s.kernel_w; ++tap) {
    for (int v = 0; v < V; ++v) store(sums + tap * sums_stride + v * kLanes, Vec{});
  }
  for (int64_t line = first; line < last; ++line) {
    const int64_t n = line / s.out_h, oh = line % s.out_h;
    for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
      const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
      if (ih < 0 || ih >= s.in_h) continue;
      for (int64_t kw = 0; kw < s.kernel_w; kw += kColumnTaps) {
        sum_line<V>(s, x + (n * s.in_h + ih) * s.in_w * s.in_c, dy + line * s.out_w * s.out_c, kw,
                    minimum(kColumnTaps, s.kernel_w - kw), c, lanes,
                    sums + (kh * s.kernel_w + kw) * sums_stride, sums_stride);
      }
    }
  }
}

}  // namespace

// dweight[c, kh, kw] = sum_{n, oh, ow} dy[n, oh, ow, c] * x[n, oh*s - p + kh*d, ow*s - p + kw*d, c]
// Tasks: a block of lines x a stretch of channels, each with its own sums; blocks are then added in
// order.
void depthwise_backward_weight(const Conv2dShape& s, const float* x, const float* dy,
                               float* dweight) {
  constexpr int64_t kStretch = kVectors * kLanes;
  const int64_t taps = s.kernel_h * s.kernel_w, lines = s.batch * s.out_h;
  const int64_t stretches = divide_up(s.in_c, kStretch), stride = stretches * kStretch;
  const int64_t wanted = minimum(lines, divide_up(16, stretches));
  const int64_t lines_per_block = divide_up(lines, wanted);
  const int64_t blocks = divide_up(lines, lines_per_block);
  Workspace sums(static_cast<size_t>(blocks * taps * stride) * sizeof(float));
  parallel_for(blocks * stretches, num_threads(), [&](int64_t task, int) {
    const int64_t block = task / stretches, first = block * lines_per_block;
    const int64_t last = minimum(lines, first + lines_per_block);
    const int64_t begin = task % stretches * kStretch, end = minimum(s.in_c, begin + kStretch);
    float* const sum = sums.floats + block * taps * stride;
    if (end - begin == kStretch) {
      sum_lines<kVectors>(s, x, dy, first, last, begin, kLanes, sum + begin, stride);
      return;
    }
    for (int64_t c = begin; c < end; c += kLanes) {
      sum_lines<1>(s, x, dy, first, last, c, minimum(kLanes, end - c), sum + c, stride);
    }
  });
  for (int64_t c = 0; c < s.in_c; ++c) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      float total = 0.0f;
      for (int64_t block = 0; block < blocks; ++block) {
        total += sums.floats[(block * taps + tap) * stride + c];
      }
      dweight[c * taps + tap] = total;
    }
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
