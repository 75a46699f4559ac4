// y[n, oh, ow, oc] = sum over kh, kw, c of
//     x[n, oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w,
//     c]
//     * weight[oc, kh, kw, c]
// where x is zero outside its borders and c runs over the channels of oc's group. x and y are NHWC,
// weight is [out_c, kernel_h, kernel_w, in_c / groups]. Bias, residual and activation are applied
// outside.
//
// A matrix product in disguise: a row for each output pixel, a column for each output channel, and
// a depth of kernel_h * kernel_w * channels. A block computes a square of it, one element a thread,
// with the operands in shared memory. To go on: several elements a thread, in registers; divisions
// out of the loop; packs of channels (load_pack); tensor cores (mma_16x8x8_tf32).
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // Conv2dShape
using namespace convsmith::cuda;  // what device.cuh offers: sync_block, launch, ...

namespace {

constexpr int kTile = 16;

__global__ void conv2d_forward_kernel(Conv2dShape s, const float* x, const float* weight,
                                      float* y) {
  CONVSMITH_SHARED(float, x_tile, kTile* kTile);       // [pixel][depth]
  CONVSMITH_SHARED(float, weight_tile, kTile* kTile);  // [channel][depth]
  const int64_t channels = s.in_c / s.groups;
  const int64_t out_channels = s.out_c / s.groups;
  const int64_t tiles = (out_channels + kTile - 1) / kTile;  // of a group
  const int64_t group = blockIdx.y / tiles;
  const int64_t depth = s.kernel_h * s.kernel_w * channels;

  // Thread (i, j) computes channel j of pixel i. It copies element j of the depth for pixel i and
  // for channel i: neighbouring threads read neighbouring addresses.
  const int i = static_cast<int>(threadIdx.x) / kTile;
  const int j = static_cast<int>(threadIdx.x) % kTile;
  const int64_t first_channel = blockIdx.y % tiles * kTile;
  const int64_t pixel = int64_t{blockIdx.x} * kTile + i;
  const bool inside = pixel < s.batch * s.out_h * s.out_w;
  const int64_t n = pixel / (s.out_h * s.out_w);
  const int64_t top = pixel / s.out_w % s.out_h * s.stride_h - s.pad_top;
  const int64_t left = pixel % s.out_w * s.stride_w - s.pad_left;

  float sum = 0.0f;
  for (int64_t first = 0; first < depth; first += kTile) {
    const int64_t d = first + j;
    const int64_t h = top + d / channels / s.kernel_w * s.dilation_h;
    const int64_t w = left + d / channels % s.kernel_w * s.dilation_w;
    float from_x = 0.0f;
    if (inside && d < depth && h >= 0 && h < s.in_h && w >= 0 && w < s.in_w) {
      from_x = x[((n * s.in_h + h) * s.in_w + w) * s.in_c + group * channels + d % channels];
    }
    float from_weight = 0.0f;
    if (first_channel + i < out_channels && d < depth) {
      from_weight = weight[(group * out_channels + first_channel + i) * depth + d];
    }
    x_tile[i * kTile + j] = from_x;
    weight_tile[i * kTile + j] = from_weight;
    sync_block();  // the squares are complete
    for (int k = 0; k < kTile; ++k) sum += x_tile[i * kTile + k] * weight_tile[j * kTile + k];
    sync_block();  // nobody reads them any more
  }
  const int64_t channel = first_channel + j;
  if (inside && channel < out_channels) {
    y[pixel * s.out_c + group * out_channels + channel] = sum;
  }
}

}  // namespace

void conv2d_forward(const Conv2dShape& shape, const float* x, const float* weight, float* y,
                    Stream stream) {
  const int64_t pixels = shape.batch * shape.out_h * shape.out_w;
  const int64_t tiles = (shape.out_c / shape.groups + kTile - 1) / kTile;
  const Grid grid = {(pixels + kTile - 1) / kTile, shape.groups * tiles};
  launch("conv2d_forward", conv2d_forward_kernel, grid, kTile * kTile, 0, stream, shape, x, weight,
         y);
}
