// Batch normalisation of x [rows, channels], per channel (Ioffe and Szegedy 2015):
//
//   y      = (x - mean) / sqrt(var + eps) * gamma + beta
//   dbeta  = sum dy;  dgamma = sum dy xhat,  xhat = (x - mean) / sqrt(var + eps)
//   dx     = gamma / sqrt(var + eps) * (dy - dbeta / rows - xhat dgamma / rows)
//            (with given statistics the two correction terms are absent)
//
// Statistics are two-pass: the rows are cut into chunks that fit the cache, each chunk takes its
// mean and then the squares around that mean, and the chunks are merged by the formula of Chan,
// Golub and LeVeque (1979). So x is read from memory once, and nothing cancels when |mean| >> std.
// Sums are doubles: the conversions hide behind the memory. The mean is used to more digits than
// the float that is returned: x - mean would otherwise be wrong by half an ulp of the mean.
// Backward has only that float: with |mean| / std beyond about 1e5 its gradients feel the rounding.
//
// Few channels, or a number that does not fill the vectors, would leave lanes idle. The same memory
// is then read as wider rows: several rows side by side, column j belonging to channel j %
// channels.
#include "cpu/arena.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_lanes.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kChunkFloats = 1 << 16;  // 256 KB: its second reading comes from the cache
constexpr int64_t kChunkWideRows = 64;     // but enough rows to be worth a row of partial sums
constexpr int64_t kElementwiseFloats = 1 << 15;
constexpr int64_t kLeastColumns = 128;

typedef double DoubleVec __attribute__((vector_size(kVectorBytes)));
typedef double UnalignedDoubleVec __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
typedef float HalfVec __attribute__((vector_size(kVectorBytes / 2)));

struct Wide {
  DoubleVec low, high;
};
// Intrinsics where they exist: GCC 12 splits the conversion of vector types into smaller ones.
CONVSMITH_INLINE Wide widen(Vec v) {
  HalfVec halves[2];
  std::memcpy(halves, &v, sizeof(v));
#if defined(__AVX512F__)
  return {(DoubleVec)_mm512_maskz_cvtps_pd(0xff, (__m256)halves[0]),
          (DoubleVec)_mm512_maskz_cvtps_pd(0xff, (__m256)halves[1])};
#elif defined(__AVX2__)
  return {(DoubleVec)_mm256_cvtps_pd((__m128)halves[0]),
          (DoubleVec)_mm256_cvtps_pd((__m128)halves[1])};
#elif defined(__x86_64__)
  return {(DoubleVec)_mm_cvtps_pd((__m128)v),
          (DoubleVec)_mm_cvtps_pd(_mm_movehl_ps((__m128)v, (__m128)v))};
#else
  return {__builtin_convertvector(halves[0], DoubleVec),
          __builtin_convertvector(halves[1], DoubleVec)};
#endif
}
CONVSMITH_INLINE Wide load_wide(const double* p) {
  return {*reinterpret_cast<const UnalignedDoubleVec*>(p),
          *reinterpret_cast<const UnalignedDoubleVec*>(p + kLanes / 2)};
}
CONVSMITH_INLINE void store_wide(double* p, Wide v) {
  *reinterpret_cast<UnalignedDoubleVec*>(p) = v.low;
  *reinterpret_cast<UnalignedDoubleVec*>(p + kLanes / 2) = v.high;
}

// The array as wide rows of `columns` floats, the last one perhaps cut short, in chunks.
struct Layout {
  int64_t channels, columns, padded_columns, floats, chunk_floats, chunks;
};

int64_t greatest_common_divisor(int64_t a, int64_t b) {
  while (b != 0) {
    const int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

Layout layout_of(int64_t rows, int64_t channels) {
  int64_t columns = channels;
  if (channels < kLeastColumns) {
    columns = channels * (kLanes / greatest_common_divisor(channels, kLanes));
    columns *= (kLeastColumns + columns - 1) / columns;
  }
  int64_t chunk_rows = kChunkFloats / columns;
  if (chunk_rows < kChunkWideRows) chunk_rows = kChunkWideRows;
  const int64_t chunk = chunk_rows * columns;
  const int64_t floats = rows * channels;
  return {channels, columns, (columns + kLanes - 1) / kLanes * kLanes,
          floats,   chunk,   (floats + chunk - 1) / chunk};
}

// Calls add(offset, column, lanes, sums) for every vector of [begin, end) and keeps kSums double
// sums a column: sums[k * padded_columns + column].
template <int kSums, class Add>
CONVSMITH_INLINE void sum_columns(const Layout& layout, int64_t begin, int64_t end, double* sums,
                                  const Add& add) {
  const int64_t padded = layout.padded_columns;
  for (int64_t i = 0; i < kSums * padded; ++i) sums[i] = 0.0;
  const auto add_rows = [&](int64_t offset, int64_t width, auto rows) {
    for_vectors(width, [&](int64_t c, auto lanes) {
      Wide s[kSums];
      for (int k = 0; k < kSums; ++k) s[k] = load_wide(sums + k * padded + c);
      for (int r = 0; r < static_cast<int>(sizeof(rows)); ++r) {
        add(offset + r * layout.columns + c, c, lanes, s);
      }
      for (int k = 0; k < kSums; ++k) store_wide(sums + k * padded + c, s[k]);
    });
  };
  struct One {
    char row;
  };
  struct Four {
    char rows[4];  // at a time, so that the sums are loaded and stored a fourth as often
  };
  int64_t offset = begin;
  for (; offset + 4 * layout.columns <= end; offset += 4 * layout.columns) {
    add_rows(offset, layout.columns, Four{});
  }
  for (; offset + layout.columns <= end; offset += layout.columns) {
    add_rows(offset, layout.columns, One{});
  }
  if (offset < end) add_rows(offset, end - offset, One{});
}

// Columns of one channel added up: by_channel [channels].
void fold(const Layout& layout, const double* by_column, double* by_channel) {
  for (int64_t c = 0; c < layout.channels; ++c) by_channel[c] = 0.0;
  for (int64_t j = 0; j < layout.columns; j += layout.channels) {
    for (int64_t c = 0; c < layout.channels; ++c) by_channel[c] += by_column[j + c];
  }
}

// A value a channel, repeated for every column.
void repeat(const Layout& layout, float* by_column) {
  for (int64_t j = layout.channels; j < layout.columns; ++j) {
    by_column[j] = by_column[j - layout.channels];
  }
}

// body(offset, column, lanes) for every vector of the array, in parallel.
template <class Body>
CONVSMITH_INLINE void for_elements(const Layout& layout, const Body& body) {
  const int64_t rows = (layout.floats + layout.columns - 1) / layout.columns;
  const int64_t band =
      layout.columns < kElementwiseFloats ? kElementwiseFloats / layout.columns : 1;
  parallel_ranges(rows, band, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t offset = row * layout.columns;
      const int64_t rest = layout.floats - offset;
      for_vectors(rest < layout.columns ? rest : layout.columns,
                  [&](int64_t c, auto lanes) { body(offset + c, c, lanes); });
    }
  });
}

// mean and squares [channels]: the mean, and the sum of squares around it.
void statistics(const Layout& layout, const float* x, double* mean, double* squares) {
  const int64_t channels = layout.channels;
  const int64_t padded = layout.padded_columns;
  const int workers = num_threads();
  const Workspace partial_memory(static_cast<size_t>(2 * layout.chunks * channels) *
                                 sizeof(double));
  const Workspace sums_memory(static_cast<size_t>(workers * padded) * sizeof(double));
  const Workspace centre_memory(static_cast<size_t>(workers * padded) * sizeof(float));
  double* const means = static_cast<double*>(partial_memory.data);
  double* const rests = means + layout.chunks * channels;

  parallel_for(layout.chunks, workers, [&](int64_t chunk, int worker) {
    double* const sums = static_cast<double*>(sums_memory.data) + worker * padded;
    float* const centre = centre_memory.floats + worker * padded;
    double* const chunk_mean = means + chunk * channels;
    double* const chunk_squares = rests + chunk * channels;
    const int64_t begin = chunk * layout.chunk_floats;
    const int64_t stop = begin + layout.chunk_floats;
    const int64_t end = stop < layout.floats ? stop : layout.floats;
    const double count = static_cast<double>((end - begin) / channels);
    sum_columns<1>(layout, begin, end, sums, [=](int64_t at, int64_t, auto lanes, Wide* s) {
      const Wide v = widen(lanes.load(x + at));
      s[0].low += v.low;
      s[0].high += v.high;
    });
    fold(layout, sums, chunk_mean);
    for (int64_t c = 0; c < channels; ++c) {
      chunk_mean[c] /= count;
      centre[c] = static_cast<float>(chunk_mean[c]);
    }
    repeat(layout, centre);
    sum_columns<1>(layout, begin, end, sums, [=](int64_t at, int64_t c, auto lanes, Wide* s) {
      const Wide d = widen(lanes.keep(lanes.load(x + at) - lanes.load(centre + c)));
      s[0].low += d.low * d.low;
      s[0].high += d.high * d.high;
    });
    fold(layout, sums, chunk_squares);
    for (int64_t c = 0; c < channels; ++c) {
      const double off = chunk_mean[c] - static_cast<double>(centre[c]);
      chunk_squares[c] -= count * off * off;  // from around the float to around the mean itself
    }
  });

  const double rows = static_cast<double>(layout.floats / channels);
  for (int64_t c = 0; c < channels; ++c) mean[c] = squares[c] = 0.0;
  const auto share = [&](int64_t chunk) {
    const int64_t rest = layout.floats - chunk * layout.chunk_floats;
    return static_cast<double>((rest < layout.chunk_floats ? rest : layout.chunk_floats) /
                               channels);
  };
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    const double weight = share(chunk) / rows;
    for (int64_t c = 0; c < channels; ++c) mean[c] += weight * means[chunk * channels + c];
  }
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    const double count = share(chunk);
    for (int64_t c = 0; c < channels; ++c) {
      const double off = means[chunk * channels + c] - mean[c];
      squares[c] += rests[chunk * channels + c] + count * off * off;
    }
  }
}

double inverse_deviation(double var, float eps) {
  return 1.0 / __builtin_sqrt(var + static_cast<double>(eps));
}

// y = (x - centre) * scale + shift
void normalise(const Layout& layout, const float* x, const float* centre, const float* scale,
               const float* shift, float* y) {
  for_elements(layout, [=](int64_t at, int64_t c, auto lanes) {
    const Vec centred = lanes.load(x + at) - lanes.load(centre + c);
    lanes.store(y + at, centred * lanes.load(scale + c) + lanes.load(shift + c));
  });
}

// dbeta = sum of dy, dgamma = sum of dy xhat
void parameter_gradients(const Layout& layout, float eps, const float* dy, const float* x,
                         const float* mean, const float* var, float* dgamma, float* dbeta) {
  const int64_t channels = layout.channels;
  const int64_t padded = layout.padded_columns;
  const int workers = num_threads();
  // Per chunk: the sums of dy, then those of dy (x - mean).
  const Workspace partial_memory(static_cast<size_t>(2 * (layout.chunks + 1) * channels) *
                                 sizeof(double));
  const Workspace sums_memory(static_cast<size_t>(workers * 2 * padded) * sizeof(double));
  const Workspace centre_memory(static_cast<size_t>(padded) * sizeof(float));
  double* const total = static_cast<double*>(partial_memory.data);
  double* const partial = total + 2 * channels;
  float* const centre = centre_memory.floats;
  for (int64_t c = 0; c < channels; ++c) centre[c] = mean[c];
  repeat(layout, centre);

  parallel_for(layout.chunks, workers, [&](int64_t chunk, int worker) {
    double* const sums = static_cast<double*>(sums_memory.data) + worker * 2 * padded;
    const int64_t begin = chunk * layout.chunk_floats;
    const int64_t stop = begin + layout.chunk_floats;
    sum_columns<2>(layout, begin, stop < layout.floats ? stop : layout.floats, sums,
                   [=](int64_t at, int64_t c, auto lanes, Wide* s) {
                     const Wide g = widen(lanes.load(dy + at));
                     const Wide d = widen(lanes.keep(lanes.load(x + at) - lanes.load(centre + c)));
                     s[0].low += g.low;
                     s[0].high += g.high;
                     s[1].low += g.low * d.low;
                     s[1].high += g.high * d.high;
                   });
    fold(layout, sums, partial + 2 * chunk * channels);
    fold(layout, sums + padded, partial + (2 * chunk + 1) * channels);
  });

  for (int64_t i = 0; i < 2 * channels; ++i) total[i] = 0.0;
  for (int64_t chunk = 0; chunk < layout.chunks; ++chunk) {
    for (int64_t i = 0; i < 2 * channels; ++i) total[i] += partial[2 * chunk * channels + i];
  }
  for (int64_t c = 0; c < channels; ++c) {
    dbeta[c] = static_cast<float>(total[c]);
    dgamma[c] = static_cast<float>(total[channels + c] *
                                   inverse_deviation(static_cast<double>(var[c]), eps));
  }
}

}  // namespace

void batch_norm_forward(int64_t rows, int64_t channels, float eps, const float* x,
                        const float* gamma, const float* beta, float* y, float* mean, float* var) {
  const Layout layout = layout_of(rows, channels);
  const int64_t padded = layout.padded_columns;
  const Workspace statistics_memory(static_cast<size_t>(2 * channels) * sizeof(double));
  const Workspace columns_memory(static_cast<size_t>(3 * padded) * sizeof(float));
  double* const exact_mean = static_cast<double*>(statistics_memory.data);
  double* const squares = exact_mean + channels;
  float* const centre = columns_memory.floats;
  float* const scale = centre + padded;
  float* const shift = scale + padded;
  statistics(layout, x, exact_mean, squares);
  for (int64_t c = 0; c < channels; ++c) {
    const double spread = rows > 0 ? squares[c] / static_cast<double>(rows) : 0.0;
    const double factor = static_cast<double>(gamma[c]) * inverse_deviation(spread, eps);
    mean[c] = static_cast<float>(exact_mean[c]);
    var[c] = static_cast<float>(spread);
    centre[c] = mean[c];
    scale[c] = static_cast<float>(factor);
    // What the float of the mean lacks goes where it is small beside the other term.
    shift[c] = static_cast<float>(static_cast<double>(beta[c]) -
                                  (exact_mean[c] - static_cast<double>(centre[c])) * factor);
  }
  repeat(layout, centre);
  repeat(layout, scale);
  repeat(layout, shift);
  normalise(layout, x, centre, scale, shift, y);
}

void batch_norm_backward(int64_t rows, int64_t channels, float eps, const float* dy, const float* x,
                         const float* gamma, const float* mean, const float* var, float* dx,
                         float* dgamma, float* dbeta) {
  const Layout layout = layout_of(rows, channels);
  parameter_gradients(layout, eps, dy, x, mean, var, dgamma, dbeta);
  const int64_t padded = layout.padded_columns;
  const Workspace columns_memory(static_cast<size_t>(4 * padded) * sizeof(float));
  float* const centre = columns_memory.floats;
  float* const scale = centre + padded;
  float* const slope = scale + padded;
  float* const constant = slope + padded;
  for (int64_t c = 0; c < channels; ++c) {
    const double inverse = inverse_deviation(static_cast<double>(var[c]), eps);
    const double factor = static_cast<double>(gamma[c]) * inverse;
    const double over_rows = rows > 0 ? 1.0 / static_cast<double>(rows) : 0.0;
    centre[c] = mean[c];
    scale[c] = static_cast<float>(factor);
    slope[c] = static_cast<float>(static_cast<double>(dgamma[c]) * over_rows * inverse);
    constant[c] = static_cast<float>(static_cast<double>(dbeta[c]) * over_rows);
  }
  repeat(layout, centre);
  repeat(layout, scale);
  repeat(layout, slope);
  repeat(layout, constant);
  for_elements(layout, [=](int64_t at, int64_t c, auto lanes) {
    const Vec centred = lanes.load(x + at) - lanes.load(centre + c);
    const Vec correction = centred * lanes.load(slope + c) + lanes.load(constant + c);
    lanes.store(dx + at, (lanes.load(dy + at) - correction) * lanes.load(scale + c));
  });
}

void batch_norm_inference_forward(int64_t rows, int64_t channels, float eps, const float* x,
                                  const float* gamma, const float* beta, const float* mean,
                                  const float* var, float* y) {
  const Layout layout = layout_of(rows, channels);
  const int64_t padded = layout.padded_columns;
  const Workspace columns_memory(static_cast<size_t>(3 * padded) * sizeof(float));
  float* const centre = columns_memory.floats;
  float* const scale = centre + padded;
  float* const shift = scale + padded;
  for (int64_t c = 0; c < channels; ++c) {
    centre[c] = mean[c];
    scale[c] = static_cast<float>(static_cast<double>(gamma[c]) *
                                  inverse_deviation(static_cast<double>(var[c]), eps));
    shift[c] = beta[c];
  }
  repeat(layout, centre);
  repeat(layout, scale);
  repeat(layout, shift);
  normalise(layout, x, centre, scale, shift, y);
}

void batch_norm_inference_backward(int64_t rows, int64_t channels, float eps, const float* dy,
                                   const float* x, const float* gamma, const float* mean,
                                   const float* var, float* dx, float* dgamma, float* dbeta) {
  const Layout layout = layout_of(rows, channels);
  parameter_gradients(layout, eps, dy, x, mean, var, dgamma, dbeta);
  const Workspace columns_memory(static_cast<size_t>(layout.padded_columns) * sizeof(float));
  float* const scale = columns_memory.floats;
  for (int64_t c = 0; c < channels; ++c) {
    scale[c] = static_cast<float>(static_cast<double>(gamma[c]) *
                                  inverse_deviation(static_cast<double>(var[c]), eps));
  }
  repeat(layout, scale);
  for_elements(layout, [=](int64_t at, int64_t c, auto lanes) {
    lanes.store(dx + at, lanes.load(dy + at) * lanes.load(scale + c));
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
