// What the files of the convolution share: its geometry as the GEMM engine wants it, and the paths
// that serve special shapes.
#pragma once

#include "cuda/gemm.cuh"
#include "cuda/operand_source.cuh"

namespace convsmith::cuda {

inline int64_t group_in_c(const Conv2dShape& s) { return s.in_c / s.groups; }
inline int64_t group_out_c(const Conv2dShape& s) { return s.out_c / s.groups; }
inline int64_t output_pixels(const Conv2dShape& s) { return s.batch * s.out_h * s.out_w; }

// One input channel a group, any number of output channels: no sum over channels, so no GEMM.
inline bool is_depthwise(const Conv2dShape& s) { return s.groups > 1 && s.in_c == s.groups; }

// Every output pixel reads its own input pixel alone: the plain product of stored matrices.
inline bool is_plain_product(const Conv2dShape& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_top == 0 && s.pad_bottom == 0 && s.pad_left == 0 && s.pad_right == 0;
}

// Sizes are below 2^31 (checked by the binding); kernels count in 32 bits where that suffices.
inline int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

// The window of x that forward and backward_weight look through.
inline Window input_window(const Conv2dShape& s) {
  Window w{};
  w.pixel_stride = s.in_c;
  w.image_h = narrow(s.in_h);
  w.image_w = narrow(s.in_w);
  w.batch = static_cast<uint32_t>(s.batch);
  w.grid = {narrow(s.out_h), narrow(s.out_w)};
  w.step_h = narrow(s.stride_h);
  w.step_w = narrow(s.stride_w);
  w.first_h = narrow(-s.pad_top);
  w.first_w = narrow(-s.pad_left);
  w.taps_h = static_cast<uint32_t>(s.kernel_h);
  w.taps = {narrow(s.kernel_w), narrow(group_in_c(s))};
  w.tap_step_h = narrow(s.dilation_h);
  w.tap_step_w = narrow(s.dilation_w);
  return w;
}

// dy as the pixels of one stride phase of dx see it.
inline Window phase_window(const Conv2dShape& s, const AxisPhase& h, const AxisPhase& w) {
  Window window{};
  window.pixel_stride = s.out_c;
  window.image_h = narrow(s.out_h);
  window.image_w = narrow(s.out_w);
  window.batch = static_cast<uint32_t>(s.batch);
  window.grid = {narrow(h.pixels), narrow(w.pixels)};
  window.step_h = window.step_w = 1;
  window.first_h = narrow(h.first_offset);
  window.first_w = narrow(w.first_offset);
  window.taps_h = static_cast<uint32_t>(h.taps);
  window.taps = {narrow(w.taps), narrow(group_out_c(s))};
  window.tap_step_h = narrow(-h.offset_step);
  window.tap_step_w = narrow(-w.offset_step);
  return window;
}

// Where the pixels of a phase lie in dx.
inline ScatteredRows phase_rows(const Conv2dShape& s, const AxisPhase& h, const AxisPhase& w) {
  if (s.stride_h == 1 && s.stride_w == 1) return {};  // one phase: every pixel, in order
  return {{narrow(h.pixels), narrow(w.pixels)},
          narrow(s.in_h),
          narrow(s.in_w),
          narrow(h.first_pixel),
          narrow(w.first_pixel),
          narrow(s.stride_h),
          narrow(s.stride_w)};
}

// Calls body(h, w) for every phase that has both taps and pixels: at most as often as there are
// taps.
template <class Body>
void for_each_phase(const Conv2dShape& s, Body&& body) {
  const int64_t phases_h = tapped_phases(s.kernel_h, s.stride_h, s.dilation_h);
  const int64_t phases_w = tapped_phases(s.kernel_w, s.stride_w, s.dilation_w);
  for (int64_t tap_h = 0; tap_h < phases_h; ++tap_h) {
    const AxisPhase h = axis_phase(tap_h, s.in_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top);
    for (int64_t tap_w = 0; tap_w < phases_w && h.pixels > 0; ++tap_w) {
      const AxisPhase w =
          axis_phase(tap_w, s.in_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left);
      if (w.pixels > 0) body(h, w);
    }
  }
}

// Whether some pixels of dx meet no tap, so that no phase writes them.
inline bool leaves_pixels_untouched(const Conv2dShape& s) {
  return tapped_phases(s.kernel_h, s.stride_h, s.dilation_h) < s.stride_h ||
         tapped_phases(s.kernel_w, s.stride_w, s.dilation_w) < s.stride_w;
}

// Whether this call goes to the tensor cores: asked for, and the shape and the addresses fit.
template <class T>
bool takes_tensor_cores(const Conv2dShape& s, Algorithm algorithm, const T* first,
                        const T* second) {
  const bool asked = sizeof(T) == 2 ? algorithm != Algorithm::direct : algorithm == Algorithm::tf32;
  const bool aligned_both =
      reinterpret_cast<uintptr_t>(first) % 16 == 0 && reinterpret_cast<uintptr_t>(second) % 16 == 0;
  return asked && aligned_both && conv2d_fits_tensor_cores(s, sizeof(T));
}

// conv2d_depthwise.cu
template <class T>
void depthwise_forward(const Conv2dShape& shape, const T* x, const T* weight,
                       const DeviceEpilogue<T>& epilogue, T* y, Stream stream);
template <class T>
void depthwise_backward_input(const Conv2dShape& shape, const T* dy, const T* weight, T* dx,
                              Stream stream);
template <class T>
void depthwise_backward_weight(const Conv2dShape& shape, const T* x, const T* dy, T* dweight,
                               Stream stream);

// conv2d_first_layer.cu: one to four input channels.
bool is_first_layer(const Conv2dShape& shape);
template <class T>
void first_layer_forward(const Conv2dShape& shape, const T* x, const T* weight,
                         const DeviceEpilogue<T>& epilogue, T* y, Stream stream);

// conv2d_*_tensor_core.cu: the problem and its sources, as the direct kernels get them.
template <class T>
void forward_on_tensor_cores(const GemmProblem<T>& problem, const WindowByPixel<T>& x,
                             const MatrixSource<T, true>& weight, Stream stream);
template <class T>
void backward_input_on_tensor_cores(const GemmProblem<T>& problem, const WindowByPixel<T>& dy,
                                    const WeightByChannel<T>& weight, Stream stream);
template <class T>
void backward_weight_on_tensor_cores(const GemmProblem<T>& problem,
                                     const MatrixSource<T, false>& dy, const WindowByTap<T>& x,
                                     Stream stream);

}  // namespace convsmith::cuda
