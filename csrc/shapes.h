// The geometry that kernels receive: plain structs with words for names.
//
// No member functions on purpose: these structs are shared by code that is compiled once per
// instruction set, and an inline function would be merged by the linker across those copies.
#pragma once

#include <cstdint>

namespace convsmith {

struct Conv2dShape {
  int64_t batch, in_h, in_w, in_c;
  int64_t out_h, out_w, out_c;
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
  int64_t groups;
};

struct Pool2dShape {
  int64_t batch, in_h, in_w, channels;
  int64_t out_h, out_w;
  int64_t kernel_h, kernel_w;
  int64_t stride_h, stride_w;
  int64_t dilation_h, dilation_w;
  int64_t pad_top, pad_bottom, pad_left, pad_right;
};

// Adaptive pooling (large -> small) and upsampling (small -> large).
struct Resample2dShape {
  int64_t batch, in_h, in_w, channels;
  int64_t out_h, out_w;
};

// C[m, n] = op(A)[m, k] * op(B)[k, n], all row-major; op transposes when its flag is set.
struct GemmShape {
  int64_t gemm_m, gemm_n, gemm_k;
  bool transpose_a, transpose_b;
};

enum class Activation { identity, relu, leaky_relu, sigmoid, tanh, silu, hardswish };

// What a convolution or GEMM does to its accumulator before the single store:
// y = activation(accumulator + bias[channel] + residual).
struct Epilogue {
  const float* bias;      // [channels] or null
  const float* residual;  // shape of y or null
  Activation activation;
  float negative_slope;
};

// y = x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta
struct LocalResponseNorm {
  int64_t size;
  float alpha, beta, k;
};

// One step of Adam, or of AdamW when the weight decay is decoupled; the first step is 1.
struct AdamStep {
  int64_t step;
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};

}  // namespace convsmith
