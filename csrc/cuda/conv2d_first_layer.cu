// conv2d_forward for one to four input channels, as in the first layer of a network:
//
//   y[n, oh, ow, oc] = activation(sum_{kh, kw, ic} x[n, oh*s - p + kh*d, ow*s - p + kw*d, ic]
//                                                  * weight[oc, kh, kw, ic] + bias + residual)
//
// The implicit GEMM would load such an image element by element, once per tap. Here a block takes
// 8 x 16 output pixels and 64 output channels of one image: the patch of x under them is read once
// into shared memory, padded with zeros, and the filters follow one kernel row at a time. Each of
// 128 threads computes 8 pixels (one column of the tile) x 8 channels in registers.
#include "cuda/conv2d.cuh"
#include "cuda/gemm_launch.cuh"

namespace convsmith::cuda {
namespace {

constexpr int kTileH = 8, kTileW = 16, kChannels = 64;
constexpr int kPixels = 8, kOutputs = 8;  // of a thread
constexpr int kThreads = kTileH * kTileW / kPixels * (kChannels / kOutputs);
static_assert(kPixels == kTileH, "a thread takes one column of the tile");
static_assert(kThreads == kTileW * (kChannels / kOutputs), "threads must cover the tile");
constexpr int64_t kMostSharedFloats = 12 * 1024;  // 48 KB: no opting in, several blocks at once
constexpr int64_t kMostInputChannels = 4;

int64_t patch_extent(int64_t tile, int64_t stride, int64_t kernel, int64_t dilation) {
  return (tile - 1) * stride + (kernel - 1) * dilation + 1;
}
// The patch, the filters of one kernel row, and room for storing.
int64_t patch_floats(const Conv2dShape& s) {
  const int64_t height = patch_extent(kTileH, s.stride_h, s.kernel_h, s.dilation_h);
  const int64_t width = patch_extent(kTileW, s.stride_w, s.kernel_w, s.dilation_w);
  if (height > kMostSharedFloats || width > kMostSharedFloats) return kMostSharedFloats + 1;
  return divide_up(height * width * s.in_c, 4) * 4;  // filters are read four at a time
}
int64_t filter_floats(const Conv2dShape& s) { return s.kernel_w * s.in_c * kChannels; }
constexpr int64_t kStageFloats = kTileW * kChannels;

template <class T>
struct FirstLayer {
  const T* x;
  const T* weight;
  Window window;
  int32_t in_c, kernel_h, kernel_w;
  int32_t patch_h, patch_w;  // pixels
  int32_t patch_floats;
  int64_t tiles_h, tiles_w, channel_tiles, tasks;
  GemmProblem<T> problem;
};

template <class T>
__global__ void __launch_bounds__(kThreads) conv2d_forward_first_layer_kernel(FirstLayer<T> p) {
  CONVSMITH_DYNAMIC_SHARED(float, patch);
  float* const filters = patch + p.patch_floats;
  const Window& window = p.window;
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kTileW, place = thread / kTileW * kOutputs;
  const int depth = p.kernel_w * p.in_c;     // of one kernel row
  const int patch_row = p.patch_w * p.in_c;  // floats
  const int row_step = window.step_h * patch_row;

  for (int64_t task = blockIdx.x; task < p.tasks; task += gridDim.x) {
    const int64_t first_channel = task % p.channel_tiles * kChannels;
    const int64_t tile = task / p.channel_tiles;
    const int64_t first_column = tile % p.tiles_w * kTileW;
    const int64_t first_row = tile / p.tiles_w % p.tiles_h * kTileH;
    const int64_t image = tile / p.tiles_w / p.tiles_h;
    const int64_t y0 = first_row * window.step_h + window.first_h;
    const int64_t x0 = first_column * window.step_w + window.first_w;

    // The patch may be overwritten: the task before ended with a barrier.
    for (int i = thread; i < p.patch_h * patch_row; i += kThreads) {
      const int64_t y = y0 + i / patch_row, x = x0 + i % patch_row / p.in_c;
      float value = 0.0f;
      if (y >= 0 && y < window.image_h && x >= 0 && x < window.image_w) {
        value = to_float(
            p.x[((image * window.image_h + y) * window.image_w + x) * p.in_c + i % p.in_c]);
      }
      patch[i] = value;
    }

    float sums[kPixels][kOutputs] = {};
    for (int kernel_row = 0; kernel_row < p.kernel_h; ++kernel_row) {
      sync_block();
      for (int i = thread; i < depth * kChannels; i += kThreads) {
        const int c = i / depth, k = i % depth;
        const int64_t channel = first_channel + c;
        float value = 0.0f;
        if (channel < p.problem.gemm_n) {
          value = to_float(p.weight[(channel * p.kernel_h + kernel_row) * depth + k]);
        }
        filters[k * kChannels + c] = value;
      }
      sync_block();
      const float* const line =
          patch + kernel_row * window.tap_step_h * patch_row + column * window.step_w * p.in_c;
      for (int k = 0; k < depth; ++k) {
        const float* const from = line + k / p.in_c * window.tap_step_w * p.in_c + k % p.in_c;
        const Pack<float, 4> low = load_pack<4>(filters + k * kChannels + place);
        const Pack<float, 4> high = load_pack<4>(filters + k * kChannels + place + 4);
#pragma unroll
        for (int i = 0; i < kPixels; ++i) {
          const float value = from[i * row_step];
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            sums[i][j] += value * low.v[j];
            sums[i][j + 4] += value * high.v[j];
          }
        }
      }
    }

    // As in direct_gemm.cuh: pixel by pixel through shared memory.
    const BlockTask block{0, 0, 0, 0};
    sync_block();
#pragma unroll 1
    for (int slice = 0; slice < kPixels; ++slice) {
#pragma unroll
      for (int i = 0; i < kPixels; ++i) {
        if (i != slice) continue;
#pragma unroll
        for (int j = 0; j < kOutputs; j += 4) {
          store_pack(patch + column * kChannels + place + j,
                     Pack<float, 4>{{sums[i][j], sums[i][j + 1], sums[i][j + 2], sums[i][j + 3]}});
        }
      }
      sync_block();
      const int64_t row = first_row + slice;
      for (int i = thread; i < kTileW * kChannels / 4; i += kThreads) {
        const int64_t out_column = first_column + i / (kChannels / 4);
        if (row >= window.grid.mid || out_column >= window.grid.low) continue;
        const int64_t m = (image * window.grid.mid + row) * window.grid.low + out_column;
        store_outputs(p.problem, block, m, first_channel + i % (kChannels / 4) * 4, patch + i * 4);
      }
      sync_block();
    }
  }
}

}  // namespace

bool is_first_layer(const Conv2dShape& s) {
  return s.groups == 1 && s.in_c <= kMostInputChannels && s.kernel_h * s.kernel_w > 1 &&
         s.out_c >= 8 && patch_floats(s) + filter_floats(s) <= kMostSharedFloats;
}

template <class T>
void first_layer_forward(const Conv2dShape& s, const T* x, const T* weight,
                         const DeviceEpilogue<T>& epilogue, T* y, Stream stream) {
  FirstLayer<T> p{};
  p.x = x;
  p.weight = weight;
  p.window = input_window(s);
  p.in_c = narrow(s.in_c);
  p.kernel_h = narrow(s.kernel_h);
  p.kernel_w = narrow(s.kernel_w);
  p.patch_h = narrow(patch_extent(kTileH, s.stride_h, s.kernel_h, s.dilation_h));
  p.patch_w = narrow(patch_extent(kTileW, s.stride_w, s.kernel_w, s.dilation_w));
  p.patch_floats = narrow(patch_floats(s));
  p.tiles_h = divide_up(s.out_h, kTileH);
  p.tiles_w = divide_up(s.out_w, kTileW);
  p.channel_tiles = divide_up(s.out_c, kChannels);
  p.tasks = s.batch * p.tiles_h * p.tiles_w * p.channel_tiles;
  p.problem = plain_problem(output_pixels(s), s.out_c, int64_t{0}, 1, y, s.out_c, 0);
  p.problem.output.epilogue = epilogue;
  p.problem.output.vectors = can_store_vectors(p.problem);
  const int64_t used = p.patch_floats + filter_floats(s);
  const size_t bytes = static_cast<size_t>(used > kStageFloats ? used : kStageFloats) * 4;
  launch("conv2d_forward", conv2d_forward_first_layer_kernel<T>,
         Grid{smaller(p.tasks, kMostBlocks)}, kThreads, bytes, stream, p);
}

template void first_layer_forward(const Conv2dShape&, const float*, const float*,
                                  const DeviceEpilogue<float>&, float*, Stream);
template void first_layer_forward(const Conv2dShape&, const float16*, const float16*,
                                  const DeviceEpilogue<float16>&, float16*, Stream);
template void first_layer_forward(const Conv2dShape&, const bfloat16*, const bfloat16*,
                                  const DeviceEpilogue<bfloat16>&, bfloat16*, Stream);

}  // namespace convsmith::cuda
