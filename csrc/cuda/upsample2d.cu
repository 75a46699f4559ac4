// Upsampling (or downsampling) to a given size, NHWC, as torch.nn.functional.interpolate:
//
//   nearest   y[n, i, j, c] = x[n, floor(i in_h / out_h), floor(j in_w / out_w), c]
//   bilinear  y = the four neighbours of the source position, (i + 0.5) in / out - 0.5 clipped at
//             0, or i (in - 1) / (out - 1) with align_corners, weighted by nearness
//
// All four are separable maps (separable.cuh), the backward as a gather over the outputs that used
// a pixel. Positions are fractions of integers: the neighbour is exact and the weight good to two
// roundings at any size, without the doubles that most GPUs are slow at.
#include "cuda/kernels.cuh"
#include "cuda/separable.cuh"

namespace convsmith::cuda {
namespace {

struct NearestAxis {
  static constexpr bool kWeighted = false, kDivided = false, kFew = true;
  FastDivide size, out;
  CONVSMITH_DEVICE Reach reach(int64_t o) const {
    const int64_t source = divide(o * size.divisor, out);
    return reach_between(source, source + 1);
  }
  CONVSMITH_DEVICE float weight(const Reach&, int64_t, int64_t) const { return 1.0f; }
  CONVSMITH_DEVICE float divisor(int64_t) const { return 1.0f; }
};

// floor(o size / out) = i means i out <= o size < (i + 1) out.
struct NearestBackwardAxis {
  static constexpr bool kWeighted = false, kDivided = false, kFew = false;
  FastDivide size, out;
  CONVSMITH_DEVICE Reach reach(int64_t i) const {
    Reach outputs =
        reach_between(divide_up(i * out.divisor, size), divide_up((i + 1) * out.divisor, size));
    if (outputs.count == 0) outputs.first = 0;
    return outputs;
  }
  CONVSMITH_DEVICE float weight(const Reach&, int64_t, int64_t) const { return 1.0f; }
  CONVSMITH_DEVICE float divisor(int64_t) const { return 1.0f; }
};

// The source position of output o is (o slope + offset) / steps, cut off at 0:
//   half pixels    ((2 o + 1) in - out) / (2 out)
//   align_corners  o (in - 1) / (out - 1); 0 for a single output
struct BilinearPositions {
  int64_t size, out;
  FastDivide slope, steps;
  int64_t offset;
  float over_steps;
  bool constant;  // the position is 0 everywhere

  CONVSMITH_DEVICE Reach neighbours(int64_t o) const {
    int64_t position = constant ? 0 : o * slope.divisor + offset;
    position = position > 0 ? position : 0;
    const int64_t low = divide(position, steps);
    const float fraction = static_cast<float>(position - low * steps.divisor) * over_steps;
    if (low >= size - 1) return {size - 1, 1, 1.0f, 0.0f};
    return {low, 2, 1.0f - fraction, fraction};
  }
  // The first output whose position is beyond `source`, not counting those cut off at 0.
  CONVSMITH_DEVICE int64_t first_beyond(int64_t source) const {
    const int64_t distance = source * steps.divisor - offset;
    return distance < 0 ? 0 : divide(distance, slope) + 1;
  }
  // The first output whose position is `source` or more.
  CONVSMITH_DEVICE int64_t first_reaching(int64_t source) const {
    const int64_t distance = source * steps.divisor - offset;
    return distance <= 0 ? 0 : divide_up(distance, slope);
  }
};

struct BilinearAxis {
  static constexpr bool kWeighted = true, kDivided = false, kFew = true;
  BilinearPositions positions;
  CONVSMITH_DEVICE Reach reach(int64_t o) const { return positions.neighbours(o); }
  CONVSMITH_DEVICE float weight(const Reach& reach, int64_t, int64_t k) const {
    return k == 0 ? reach.low : reach.high;
  }
  CONVSMITH_DEVICE float divisor(int64_t) const { return 1.0f; }
};

// Input i is a neighbour of the outputs with a position in (i - 1, i + 1); the first and the last
// input also of those beyond the border.
struct BilinearBackwardAxis {
  static constexpr bool kWeighted = true, kDivided = false, kFew = false;
  BilinearPositions positions;
  CONVSMITH_DEVICE Reach reach(int64_t i) const {
    if (positions.constant) return reach_between(0, i == 0 ? positions.out : 0);
    const int64_t first = i == 0 ? 0 : positions.first_beyond(i - 1);
    const int64_t end = i >= positions.size - 1 ? positions.out : positions.first_reaching(i + 1);
    Reach outputs = reach_between(first, end < positions.out ? end : positions.out);
    if (outputs.count == 0) outputs.first = 0;
    return outputs;
  }
  CONVSMITH_DEVICE float weight(const Reach& outputs, int64_t i, int64_t k) const {
    const Reach used = positions.neighbours(outputs.first + k);
    return used.first == i ? used.low : used.high;
  }
  CONVSMITH_DEVICE float divisor(int64_t) const { return 1.0f; }
};

BilinearPositions positions_of(int64_t size, int64_t out, bool align_corners) {
  const bool constant = align_corners && (size == 1 || out == 1);
  const int64_t slope = constant ? 1 : (align_corners ? size - 1 : 2 * size);
  const int64_t steps = constant ? 1 : (align_corners ? out - 1 : 2 * out);
  const int64_t offset = align_corners ? 0 : size - out;
  return {size,
          out,
          fast_divide(slope),
          fast_divide(steps),
          offset,
          1.0f / static_cast<float>(steps),
          constant};
}

SeparableShape from_x_to_y(const Resample2dShape& s) {
  return {s.batch, s.channels, s.in_h, s.in_w, s.out_h, s.out_w};
}
SeparableShape from_y_to_x(const Resample2dShape& s) {
  return {s.batch, s.channels, s.out_h, s.out_w, s.in_h, s.in_w};
}

// How many outputs use one input, roughly.
int64_t users(const Resample2dShape& s) {
  return ((s.out_h + s.in_h - 1) / s.in_h) * ((s.out_w + s.in_w - 1) / s.in_w);
}

}  // namespace

template <class T>
void upsample_nearest2d_forward(const Resample2dShape& s, const T* x, T* y, Stream stream) {
  const NearestAxis rows{fast_divide(s.in_h), fast_divide(s.out_h)};
  const NearestAxis columns{fast_divide(s.in_w), fast_divide(s.out_w)};
  separable_map("upsample_nearest2d_forward", from_x_to_y(s), rows, columns, 1, x, y, stream);
}

template <class T>
void upsample_nearest2d_backward_input(const Resample2dShape& s, const T* dy, T* dx,
                                       Stream stream) {
  const NearestBackwardAxis rows{fast_divide(s.in_h), fast_divide(s.out_h)};
  const NearestBackwardAxis columns{fast_divide(s.in_w), fast_divide(s.out_w)};
  separable_map("upsample_nearest2d_backward_input", from_y_to_x(s), rows, columns, users(s), dy,
                dx, stream);
}

template <class T>
void upsample_bilinear2d_forward(const Resample2dShape& s, bool align_corners, const T* x, T* y,
                                 Stream stream) {
  const BilinearAxis rows{positions_of(s.in_h, s.out_h, align_corners)};
  const BilinearAxis columns{positions_of(s.in_w, s.out_w, align_corners)};
  separable_map("upsample_bilinear2d_forward", from_x_to_y(s), rows, columns, 4, x, y, stream);
}

template <class T>
void upsample_bilinear2d_backward_input(const Resample2dShape& s, bool align_corners, const T* dy,
                                        T* dx, Stream stream) {
  const BilinearBackwardAxis rows{positions_of(s.in_h, s.out_h, align_corners)};
  const BilinearBackwardAxis columns{positions_of(s.in_w, s.out_w, align_corners)};
  separable_map("upsample_bilinear2d_backward_input", from_y_to_x(s), rows, columns, 4 * users(s),
                dy, dx, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                                  \
  template void upsample_nearest2d_forward<T>(const Resample2dShape&, const T*, T*, Stream);      \
  template void upsample_nearest2d_backward_input<T>(const Resample2dShape&, const T*, T*,        \
                                                     Stream);                                     \
  template void upsample_bilinear2d_forward<T>(const Resample2dShape&, bool, const T*, T*,        \
                                               Stream);                                           \
  template void upsample_bilinear2d_backward_input<T>(const Resample2dShape&, bool, const T*, T*, \
                                                      Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
