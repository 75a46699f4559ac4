// The table of contents of csrc/cuda: what the device modules offer. NHWC, C-contiguous, T is
// float, float16 or bfloat16 (storage; accumulation is float); outputs are allocated by the caller
// and fully written. Arguments have been checked by the binding. No CUDA header here: bindings
// include this file.
#pragma once

#include <cstdint>

#include "cuda/types.h"
#include "shapes.h"

namespace convsmith::cuda {

// The epilogue of shapes.h for any storage type; bias is [gemm_n or out_c], residual as the output.
template <class T>
struct DeviceEpilogue {
  const T* bias;
  const T* residual;
  Activation activation;
  float negative_slope;
};

// automatic: tensor_core for 16-bit storage where the shape and the addresses allow it, else
// direct. tf32, which rounds float factors to 10 bits of mantissa, is taken by name alone. A named
// algorithm that a 16-byte alignment forbids is served by the direct kernel.
enum class Algorithm { automatic, direct, tensor_core, tf32 };

// For tests and tuning: the row of the tile tables (tile_table.h) and the number of splits of the
// depth to use from now on; -1 and 0 leave the choice to the shape.
void force_tile(int row, int64_t splits);

// gemm.cu: c = activation(alpha op(a) op(b) + beta c + bias + residual); beta = 0 never reads c.
template <class T>
void gemm(const GemmShape& shape, float alpha, const T* a, const T* b, float beta,
          const DeviceEpilogue<T>& epilogue, T* c, Stream stream);

// conv2d_*.cu. The tensor cores take rows of whole 16-byte chunks, of x and of y.
bool conv2d_fits_tensor_cores(const Conv2dShape& shape, int64_t element_bytes);
template <class T>
void conv2d_forward(const Conv2dShape& shape, const T* x, const T* weight,
                    const DeviceEpilogue<T>& epilogue, T* y, Algorithm algorithm, Stream stream);
template <class T>
void conv2d_backward_input(const Conv2dShape& shape, const T* dy, const T* weight, T* dx,
                           Algorithm algorithm, Stream stream);
template <class T>
void conv2d_backward_weight(const Conv2dShape& shape, const T* x, const T* dy, T* dweight,
                            Algorithm algorithm, Stream stream);
template <class T>
void conv2d_backward_bias(int64_t rows, int64_t channels, const T* dy, T* dbias, Stream stream);

// elementwise.cu
template <class T>
void add(int64_t size, const T* a, const T* b, T* y, Stream stream);

// activation.cu: saved is y, but x for silu and hardswish.
template <class T>
void activation_forward(Activation kind, float negative_slope, int64_t size, const T* x, T* y,
                        Stream stream);
template <class T>
void activation_backward(Activation kind, float negative_slope, int64_t size, const T* dy,
                         const T* saved, T* dx, Stream stream);

// max_pool2d.cu: argmax is the index kh * kernel_w + kw inside the window; a window that lies
// wholly in the padding stores the type's marker (255 or -1). Index is uint8_t or int32_t. Null
// argmax: inference, nothing stored.
template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& shape, const T* x, T* y, Index* argmax, Stream stream);
template <class T, class Index>
void max_pool2d_backward_input(const Pool2dShape& shape, const T* dy, const Index* argmax, T* dx,
                               Stream stream);

// avg_pool2d.cu
template <class T>
void avg_pool2d_forward(const Pool2dShape& shape, bool count_include_pad, const T* x, T* y,
                        Stream stream);
template <class T>
void avg_pool2d_backward_input(const Pool2dShape& shape, bool count_include_pad, const T* dy, T* dx,
                               Stream stream);
template <class T>
void adaptive_avg_pool2d_forward(const Resample2dShape& shape, const T* x, T* y, Stream stream);
template <class T>
void adaptive_avg_pool2d_backward_input(const Resample2dShape& shape, const T* dy, T* dx,
                                        Stream stream);

// batch_norm.cu: x is [rows, channels]; var is the biased variance, from a second pass. Parameters,
// statistics and their gradients are float for every T.
template <class T>
void batch_norm_forward(int64_t rows, int64_t channels, float eps, const T* x, const float* gamma,
                        const float* beta, T* y, float* mean, float* var, Stream stream);
template <class T>
void batch_norm_backward(int64_t rows, int64_t channels, float eps, const T* dy, const T* x,
                         const float* gamma, const float* mean, const float* var, T* dx,
                         float* dgamma, float* dbeta, Stream stream);
template <class T>
void batch_norm_inference_forward(int64_t rows, int64_t channels, float eps, const T* x,
                                  const float* gamma, const float* beta, const float* mean,
                                  const float* var, T* y, Stream stream);
template <class T>
void batch_norm_inference_backward(int64_t rows, int64_t channels, float eps, const T* dy,
                                   const T* x, const float* gamma, const float* mean,
                                   const float* var, T* dx, float* dgamma, float* dbeta,
                                   Stream stream);

// local_response_norm.cu: over the last axis.
template <class T>
void local_response_norm_forward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                 const T* x, T* y, Stream stream);
template <class T>
void local_response_norm_backward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                  const T* dy, const T* x, T* dx, Stream stream);

// softmax.cu: over the last axis; dlogits = scale * d(sum of losses) / d(logits). losses are float
// for every T; a label outside [0, classes) gives NaN in its row's loss and gradient.
template <class T>
void softmax_forward(int64_t rows, int64_t classes, const T* x, T* y, Stream stream);
template <class T>
void softmax_backward(int64_t rows, int64_t classes, const T* dy, const T* y, T* dx, Stream stream);
template <class T>
void log_softmax_forward(int64_t rows, int64_t classes, const T* x, T* y, Stream stream);
template <class T>
void log_softmax_backward(int64_t rows, int64_t classes, const T* dy, const T* y, T* dx,
                          Stream stream);
template <class T>
void softmax_cross_entropy(int64_t rows, int64_t classes, float label_smoothing, float scale,
                           const T* logits, const int64_t* labels, float* losses, T* dlogits,
                           Stream stream);

// upsample2d.cu
template <class T>
void upsample_nearest2d_forward(const Resample2dShape& shape, const T* x, T* y, Stream stream);
template <class T>
void upsample_nearest2d_backward_input(const Resample2dShape& shape, const T* dy, T* dx,
                                       Stream stream);
template <class T>
void upsample_bilinear2d_forward(const Resample2dShape& shape, bool align_corners, const T* x, T* y,
                                 Stream stream);
template <class T>
void upsample_bilinear2d_backward_input(const Resample2dShape& shape, bool align_corners,
                                        const T* dy, T* dx, Stream stream);

// optimizer.cu: in place; the state is float for every T; velocity may be null when momentum is 0.
template <class T>
void sgd_update(int64_t size, float lr, float momentum, float weight_decay, bool nesterov,
                const T* grad, T* param, float* velocity, Stream stream);
template <class T>
void adam_update(int64_t size, const AdamStep& options, const T* grad, T* param, float* exp_avg,
                 float* exp_avg_sq, Stream stream);

}  // namespace convsmith::cuda
