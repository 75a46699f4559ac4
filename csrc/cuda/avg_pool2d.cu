// Average pooling and adaptive average pooling, NHWC:
//
//   y[n, oh, ow, c] = sum of x over the window / (rows counted * columns counted)
//
// avg_pool2d counts as PyTorch: with count_include_pad the elements inside the declared padding
// too, else only those of the input; what ceil_mode reaches beyond the padding never counts. The
// adaptive windows are [floor(i in / out), ceil((i + 1) in / out)). The divisor is a product of a
// row part and a column part, so all four are separable maps (separable.cuh): forward a sum, then
// one division; backward a sum of dy times the reciprocals.
#include "cuda/kernels.cuh"
#include "cuda/separable.cuh"

namespace convsmith::cuda {
namespace {

// The windows of avg_pool2d along one axis.
struct SlidingWindows {
  int64_t size, out, kernel, pad, padded_end;
  FastDivide stride;
  bool count_include_pad;

  CONVSMITH_DEVICE Reach window(int64_t o) const {
    const int64_t start = o * stride.divisor - pad;
    const int64_t stop = start + kernel;
    return reach_between(start > 0 ? start : 0, stop < size ? stop : size);
  }
  // Never 0: a window with nothing to count has the sum 0.
  CONVSMITH_DEVICE float counted(int64_t o) const {
    const int64_t start = o * stride.divisor - pad;
    const int64_t stop = start + kernel;
    const int64_t count =
        count_include_pad ? (stop < padded_end ? stop : padded_end) - start : window(o).count;
    return static_cast<float>(count > 1 ? count : 1);
  }
  CONVSMITH_DEVICE Reach covering(int64_t i) const {
    const int64_t from_start = i + pad;
    const int64_t first = from_start < kernel ? 0 : divide(from_start - kernel, stride) + 1;
    const int64_t end = divide(from_start, stride) + 1;
    return reach_between(first, end < out ? end : out);
  }
};

// Those of adaptive_avg_pool2d. Input i lies in window o when floor(o in / out) <= i and
// i < (o + 1) in / out, which is the formula of a window with in and out exchanged.
struct AdaptiveWindows {
  FastDivide size, out;

  CONVSMITH_DEVICE Reach window(int64_t o) const {
    return reach_between(divide(o * size.divisor, out), divide_up((o + 1) * size.divisor, out));
  }
  CONVSMITH_DEVICE float counted(int64_t o) const { return static_cast<float>(window(o).count); }
  CONVSMITH_DEVICE Reach covering(int64_t i) const {
    return reach_between(divide(i * out.divisor, size), divide_up((i + 1) * out.divisor, size));
  }
};

template <class Windows>
struct MeanAxis {
  static constexpr bool kWeighted = false, kDivided = true, kFew = false;
  Windows windows;
  CONVSMITH_DEVICE Reach reach(int64_t o) const {
    Reach window = windows.window(o);
    // An empty window reads nothing; its address must still be one.
    if (window.count == 0) window.first = 0;
    return window;
  }
  CONVSMITH_DEVICE float weight(const Reach&, int64_t, int64_t) const { return 1.0f; }
  CONVSMITH_DEVICE float divisor(int64_t o) const { return windows.counted(o); }
};

template <class Windows>
struct MeanBackwardAxis {
  static constexpr bool kWeighted = true, kDivided = false, kFew = false;
  Windows windows;
  CONVSMITH_DEVICE Reach reach(int64_t i) const {
    Reach cover = windows.covering(i);
    if (cover.count == 0) cover.first = 0;
    return cover;
  }
  CONVSMITH_DEVICE float weight(const Reach& cover, int64_t, int64_t k) const {
    return 1.0f / windows.counted(cover.first + k);
  }
  CONVSMITH_DEVICE float divisor(int64_t) const { return 1.0f; }
};

struct Windows2d {
  SlidingWindows rows, columns;
};
Windows2d windows_of(const Pool2dShape& s, bool count_include_pad) {
  return {{s.in_h, s.out_h, s.kernel_h, s.pad_top, s.in_h + s.pad_bottom, fast_divide(s.stride_h),
           count_include_pad},
          {s.in_w, s.out_w, s.kernel_w, s.pad_left, s.in_w + s.pad_right, fast_divide(s.stride_w),
           count_include_pad}};
}

struct AdaptiveWindows2d {
  AdaptiveWindows rows, columns;
};
AdaptiveWindows2d windows_of(const Resample2dShape& s) {
  return {{fast_divide(s.in_h), fast_divide(s.out_h)}, {fast_divide(s.in_w), fast_divide(s.out_w)}};
}

int64_t smaller_of(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ratio_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// From x to y, each output the mean of a window of about `elements`.
template <class Windows, class Shape, class T>
void mean_forward(const char* op, const Shape& s, const Windows& windows, int64_t elements,
                  const T* x, T* y, Stream stream) {
  using Axis = MeanAxis<decltype(windows.rows)>;
  separable_map(op, {s.batch, s.channels, s.in_h, s.in_w, s.out_h, s.out_w}, Axis{windows.rows},
                Axis{windows.columns}, elements, x, y, stream);
}

template <class Windows, class Shape, class T>
void mean_backward(const char* op, const Shape& s, const Windows& windows, int64_t elements,
                   const T* dy, T* dx, Stream stream) {
  using Axis = MeanBackwardAxis<decltype(windows.rows)>;
  separable_map(op, {s.batch, s.channels, s.out_h, s.out_w, s.in_h, s.in_w}, Axis{windows.rows},
                Axis{windows.columns}, elements, dy, dx, stream);
}

}  // namespace

template <class T>
void avg_pool2d_forward(const Pool2dShape& s, bool count_include_pad, const T* x, T* y,
                        Stream stream) {
  const int64_t elements = smaller_of(s.kernel_h, s.in_h) * smaller_of(s.kernel_w, s.in_w);
  mean_forward("avg_pool2d_forward", s, windows_of(s, count_include_pad), elements, x, y, stream);
}

template <class T>
void avg_pool2d_backward_input(const Pool2dShape& s, bool count_include_pad, const T* dy, T* dx,
                               Stream stream) {
  const int64_t elements = smaller_of(ratio_up(s.kernel_h, s.stride_h), s.out_h) *
                           smaller_of(ratio_up(s.kernel_w, s.stride_w), s.out_w);
  mean_backward("avg_pool2d_backward_input", s, windows_of(s, count_include_pad), elements, dy, dx,
                stream);
}

template <class T>
void adaptive_avg_pool2d_forward(const Resample2dShape& s, const T* x, T* y, Stream stream) {
  const int64_t elements = ratio_up(s.in_h, s.out_h) * ratio_up(s.in_w, s.out_w);
  mean_forward("adaptive_avg_pool2d_forward", s, windows_of(s), elements, x, y, stream);
}

template <class T>
void adaptive_avg_pool2d_backward_input(const Resample2dShape& s, const T* dy, T* dx,
                                        Stream stream) {
  const int64_t elements = ratio_up(s.out_h, s.in_h) * ratio_up(s.out_w, s.in_w);
  mean_backward("adaptive_avg_pool2d_backward_input", s, windows_of(s), elements, dy, dx, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                              \
  template void avg_pool2d_forward<T>(const Pool2dShape&, bool, const T*, T*, Stream);        \
  template void avg_pool2d_backward_input<T>(const Pool2dShape&, bool, const T*, T*, Stream); \
  template void adaptive_avg_pool2d_forward<T>(const Resample2dShape&, const T*, T*, Stream); \
  template void adaptive_avg_pool2d_backward_input<T>(const Resample2dShape&, const T*, T*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
