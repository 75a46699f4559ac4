// Batch normalisation of x [rows, channels], per channel (Ioffe and Szegedy 2015):
//
//   y      = (x - mean) / sqrt(var + eps) * gamma + beta
//   dbeta  = sum dy;  dgamma = sum dy xhat,  xhat = (x - mean) / sqrt(var + eps)
//   dx     = gamma / sqrt(var + eps) * (dy - dbeta / rows - xhat dgamma / rows)
//            (with given statistics the two correction terms are absent)
//
// Three launches: partial sums of each block, their merge by channel, the elementwise pass. Which
// block sums what depends on the shape alone and merges are fixed trees, so results are the same
// bits every time. Layout of the threads: channel_rows.cuh.
//
// Statistics are two-pass and still read x once: a block keeps a chunk of rows in registers, takes
// its mean, then the squares around that mean; chunks are added up in double around a common pivot,
// blocks merged by the formula of Chan, Golub and LeVeque (1979). Nothing cancels when
// |mean| >> std.
#include "cuda/batch_norm_merge.cuh"
#include "cuda/channel_rows.cuh"
#include "cuda/kernels.cuh"

namespace convsmith::cuda {
namespace {

// Enough blocks to fill a large GPU; more would only be more partial sums to merge.
constexpr int64_t kPartialBlocks = 512;
constexpr int64_t kElementwiseBlocks = 4096;
constexpr int64_t kRowsPerThread = 8;

// Packs of a chunk in a thread's registers.
template <int N>
constexpr int kChunk = N > 1 ? 8 : 16;

// partial: [row_blocks][channels]. over_chunk, over_last: 1 / rows of a whole chunk, of the last.
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    batch_norm_statistics_kernel(ChannelRows r, float over_chunk, float over_last,
                                 const T* __restrict__ x, ShiftedSums* partial) {
  CONVSMITH_SHARED(float, sums, 2 * kStreamThreads * N);
  CONVSMITH_SHARED(float, centres, kStreamThreads);
  const Place place = place_of<N>(r);
  const int thread = static_cast<int>(threadIdx.x);
  const int width = r.lanes * N;
  const int64_t chunk_rows = static_cast<int64_t>(r.depth) * kChunk<N>;
  const int64_t stride = r.row_blocks * chunk_rows;
  // Of column `thread`, around the first chunk's centre; in shared memory, where it costs no
  // registers while the next chunk is loaded.
  CONVSMITH_SHARED(ShiftedSums, totals, kStreamThreads);
  totals[thread] = {0.0, 0.0, 0.0, 0.0};
  for (int64_t chunk = place.row_block * chunk_rows; chunk < r.rows; chunk += stride) {
    const int64_t rest = r.rows - chunk;
    const int here = static_cast<int>(rest < chunk_rows ? rest : chunk_rows);
    const int limit = place.works ? here : 0;
    const T* from = x + (chunk + place.d) * r.channels + place.channel;
    Pack<T, N> kept[kChunk<N>];
#pragma unroll
    for (int k = 0; k < kChunk<N>; ++k) {
      if (place.d + k * r.depth < limit) {
        kept[k] = load_pack<N>(from);
      }
      from += r.depth * r.channels;
    }
    Values<N> sum[1] = {};
#pragma unroll
    for (int k = 0; k < kChunk<N>; ++k) {
      if (place.d + k * r.depth < limit) {
#pragma unroll
        for (int j = 0; j < N; ++j) sum[0].v[j] += to_float(kept[k].v[j]);
      }
    }
    add_up_columns(r, place, sum, sums);
    const float over_here = rest < chunk_rows ? over_last : over_chunk;
    if (thread < width) centres[thread] = sums[thread] * over_here;
    sync_block();
    // Around the float nearest to the mean: the sum of the distances says how far off it is.
    Values<N> distances[2] = {};
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float centre = place.d < r.depth ? centres[place.lane * N + j] : 0.0f;
#pragma unroll
      for (int k = 0; k < kChunk<N>; ++k) {
        if (place.d + k * r.depth < limit) {
          const float distance = to_float(kept[k].v[j]) - centre;
          distances[0].v[j] += distance;
          distances[1].v[j] += distance * distance;
        }
      }
    }
    add_up_columns(r, place, distances, sums);
    if (thread < width) {
      // From around this chunk's centre to around the pivot, in double and without a division.
      const double count = static_cast<double>(here);
      const double centre = static_cast<double>(centres[thread]);
      ShiftedSums total = totals[thread];
      total.pivot = total.rows == 0.0 ? centre : total.pivot;
      const double shift = centre - total.pivot;
      const double off = static_cast<double>(sums[thread]);
      total.rows += count;
      total.off += off + count * shift;
      total.squares += static_cast<double>(sums[kStreamThreads * N + thread]) +
                       shift * (2.0 * off + count * shift);
      totals[thread] = total;
    }
  }
  const int64_t channel = static_cast<int64_t>(place.panel) * width + thread;
  if (thread < width && channel < r.channels) {
    partial[place.row_block * r.channels + channel] = totals[thread];
  }
}

// partial: [row_blocks][2][channels], sums of dy and of dy (x - mean).
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    batch_norm_gradient_sums_kernel(ChannelRows r, const T* __restrict__ dy,
                                    const T* __restrict__ x, const float* __restrict__ mean,
                                    float* partial) {
  CONVSMITH_SHARED(float, sums, 2 * kStreamThreads * N);
  const Place place = place_of<N>(r);
  Values<N> sum[2] = {};
  if (place.works) {
    const Values<N> centre = load_each<N>(mean + place.channel);
    for_rows<2>(r, place, [&](int64_t offset) {
      const Values<N> gradient = load_values<N>(dy + offset);
      const Values<N> value = load_values<N>(x + offset);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[0].v[j] += gradient.v[j];
        sum[1].v[j] += gradient.v[j] * (value.v[j] - centre.v[j]);
      }
    });
  }
  add_up_columns(r, place, sum, sums);
  const int thread = static_cast<int>(threadIdx.x);
  const int width = r.lanes * N;
  const int64_t channel = static_cast<int64_t>(place.panel) * width + thread;
  if (thread < width && channel < r.channels) {
    float* const to = partial + place.row_block * 2 * r.channels + channel;
    to[0] = sums[thread];
    to[r.channels] = sums[kStreamThreads * N + thread];
  }
}

// y = (x - centre) scale + constant
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    batch_norm_apply_kernel(ChannelRows r, Coefficients by, const T* __restrict__ x,
                            T* __restrict__ y) {
  const Place place = place_of<N>(r);
  if (!place.works) return;
  const Values<N> centre = load_values<N>(by.centre + place.channel);
  const Values<N> scale = load_values<N>(by.scale + place.channel);
  const Values<N> constant = load_values<N>(by.constant + place.channel);
  for_rows<4>(r, place, [&](int64_t offset) {
    Values<N> value = load_values<N>(x + offset);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      value.v[j] = (value.v[j] - centre.v[j]) * scale.v[j] + constant.v[j];
    }
    store_values<N>(y + offset, value);
  });
}

// dx = (dy - (x - centre) slope - constant) scale
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    batch_norm_backward_apply_kernel(ChannelRows r, Coefficients by, const T* __restrict__ dy,
                                     const T* __restrict__ x, T* __restrict__ dx) {
  const Place place = place_of<N>(r);
  if (!place.works) return;
  const Values<N> centre = load_values<N>(by.centre + place.channel);
  const Values<N> scale = load_values<N>(by.scale + place.channel);
  const Values<N> slope = load_values<N>(by.slope + place.channel);
  const Values<N> constant = load_values<N>(by.constant + place.channel);
  for_rows<2>(r, place, [&](int64_t offset) {
    Values<N> gradient = load_values<N>(dy + offset);
    const Values<N> value = load_values<N>(x + offset);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float correction = (value.v[j] - centre.v[j]) * slope.v[j] + constant.v[j];
      gradient.v[j] = (gradient.v[j] - correction) * scale.v[j];
    }
    store_values<N>(dx + offset, gradient);
  });
}

// Coefficients, then the partial results, in one piece of memory.
class Scratch {
 public:
  Scratch(int64_t channels, int64_t partial_bytes, Stream stream, const char* op)
      : coefficient_bytes_((channels * 4 * static_cast<int64_t>(sizeof(float)) + 255) / 256 * 256),
        memory_(static_cast<size_t>(coefficient_bytes_ + partial_bytes), stream, op),
        channels_(channels) {}
  Coefficients coefficients() const {
    float* const p = memory_.as<float>();
    return {p, p + channels_, p + 2 * channels_, p + 3 * channels_};
  }
  template <class P>
  P* partial() const {
    return reinterpret_cast<P*>(memory_.as<unsigned char>() + coefficient_bytes_);
  }

 private:
  int64_t coefficient_bytes_;
  Workspace memory_;
  int64_t channels_;
};

template <class T, int N>
void launch_apply(const char* op, int64_t rows, int64_t channels, const Coefficients& by,
                  const T* x, T* y, Stream stream) {
  const ChannelRows r = channel_rows<N>(rows, channels, kElementwiseBlocks, kRowsPerThread);
  launch(op, batch_norm_apply_kernel<T, N>, grid_of(r), kStreamThreads, 0, stream, r, by, x, y);
}

template <class T, int N>
void backward(const char* op, bool through_statistics, int64_t rows, int64_t channels, float eps,
              const T* dy, const T* x, const float* gamma, const float* mean, const float* var,
              T* dx, float* dgamma, float* dbeta, Stream stream) {
  const ChannelRows r = channel_rows<N>(rows, channels, kPartialBlocks, kRowsPerThread);
  const Scratch scratch(channels, r.row_blocks * 2 * channels * sizeof(float), stream, op);
  const Coefficients by = scratch.coefficients();
  float* const partial = scratch.partial<float>();
  launch(op, batch_norm_gradient_sums_kernel<T, N>, grid_of(r), kStreamThreads, 0, stream, r, dy, x,
         mean, partial);
  launch(op, batch_norm_merge_gradients_kernel, merge_grid(channels), kStreamThreads, 0, stream,
         rows, channels, static_cast<int>(r.row_blocks), eps, through_statistics, partial, gamma,
         mean, var, dgamma, dbeta, by);
  if (through_statistics) {
    const ChannelRows all = channel_rows<N>(rows, channels, kElementwiseBlocks, kRowsPerThread);
    launch(op, batch_norm_backward_apply_kernel<T, N>, grid_of(all), kStreamThreads, 0, stream, all,
           by, dy, x, dx);
  } else {
    launch_apply<T, N>(op, rows, channels, by, dy, dx, stream);  // (dy - 0) scale + 0
  }
}

}  // namespace

template <class T>
void batch_norm_forward(int64_t rows, int64_t channels, float eps, const T* x, const float* gamma,
                        const float* beta, T* y, float* mean, float* var, Stream stream) {
  const char* op = "batch_norm_forward";
  const bool wide = channels % kWidest<T> == 0 && allows_packs<kWidest<T>>(x, y);
  with_width<kWidest<T>>(wide, [&](auto width) {
    constexpr int N = decltype(width)::value;
    const ChannelRows r = channel_rows<N>(rows, channels, kPartialBlocks, kChunk<N>);
    const Scratch scratch(channels, r.row_blocks * channels * sizeof(ShiftedSums), stream, op);
    ShiftedSums* const partial = scratch.partial<ShiftedSums>();
    const int64_t chunk_rows = r.depth * kChunk<N>;
    const int64_t last_rows = rows % chunk_rows;
    launch(op, batch_norm_statistics_kernel<T, N>, grid_of(r), kStreamThreads, 0, stream, r,
           1.0f / static_cast<float>(chunk_rows),
           last_rows > 0 ? 1.0f / static_cast<float>(last_rows) : 0.0f, x, partial);
    launch(op, batch_norm_merge_statistics_kernel, merge_grid(channels), kStreamThreads, 0, stream,
           channels, static_cast<int>(r.row_blocks), eps, partial, gamma, beta, mean, var,
           scratch.coefficients());
    launch_apply<T, N>(op, rows, channels, scratch.coefficients(), x, y, stream);
  });
}

template <class T>
void batch_norm_inference_forward(int64_t rows, int64_t channels, float eps, const T* x,
                                  const float* gamma, const float* beta, const float* mean,
                                  const float* var, T* y, Stream stream) {
  const char* op = "batch_norm_inference_forward";
  const Scratch scratch(channels, 0, stream, op);
  launch(op, batch_norm_coefficients_kernel, grid_for(channels), kStreamThreads, 0, stream,
         channels, eps, gamma, beta, mean, var, scratch.coefficients());
  const bool wide = channels % kWidest<T> == 0 && allows_packs<kWidest<T>>(x, y);
  with_width<kWidest<T>>(wide, [&](auto width) {
    launch_apply<T, decltype(width)::value>(op, rows, channels, scratch.coefficients(), x, y,
                                            stream);
  });
}

template <class T>
void batch_norm_backward(int64_t rows, int64_t channels, float eps, const T* dy, const T* x,
                         const float* gamma, const float* mean, const float* var, T* dx,
                         float* dgamma, float* dbeta, Stream stream) {
  const bool wide = channels % kWidest<T> == 0 && allows_packs<kWidest<T>>(dy, x, dx);
  with_width<kWidest<T>>(wide, [&](auto width) {
    backward<T, decltype(width)::value>("batch_norm_backward", true, rows, channels, eps, dy, x,
                                        gamma, mean, var, dx, dgamma, dbeta, stream);
  });
}

template <class T>
void batch_norm_inference_backward(int64_t rows, int64_t channels, float eps, const T* dy,
                                   const T* x, const float* gamma, const float* mean,
                                   const float* var, T* dx, float* dgamma, float* dbeta,
                                   Stream stream) {
  const bool wide = channels % kWidest<T> == 0 && allows_packs<kWidest<T>>(dy, x, dx);
  with_width<kWidest<T>>(wide, [&](auto width) {
    backward<T, decltype(width)::value>("batch_norm_inference_backward", false, rows, channels, eps,
                                        dy, x, gamma, mean, var, dx, dgamma, dbeta, stream);
  });
}

#define CONVSMITH_INSTANTIATE(T)                                                                  \
  template void batch_norm_forward<T>(int64_t, int64_t, float, const T*, const float*,            \
                                      const float*, T*, float*, float*, Stream);                  \
  template void batch_norm_inference_forward<T>(int64_t, int64_t, float, const T*, const float*,  \
                                                const float*, const float*, const float*, T*,     \
                                                Stream);                                          \
  template void batch_norm_backward<T>(int64_t, int64_t, float, const T*, const T*, const float*, \
                                       const float*, const float*, T*, float*, float*, Stream);   \
  template void batch_norm_inference_backward<T>(int64_t, int64_t, float, const T*, const T*,     \
                                                 const float*, const float*, const float*, T*,    \
                                                 float*, float*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
