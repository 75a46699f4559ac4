// Softmax and its kin over the last axis of [rows, classes]:
//
//   softmax       y = exp(x - m) / S,  m = max(x),  S = sum exp(x - m);  dx = y (dy - sum dy y)
//   log_softmax   y = (x - m) - ln S;                                    dx = dy - exp(y) sum dy
//   cross-entropy loss = -sum t ln p,  t = (1 - smoothing) at the label + smoothing / classes
//                 everywhere;  dlogits = scale (p - t)
//
// The maximum is that of the row itself, so large and negative rows neither overflow nor vanish; a
// row of nothing but -inf gives NaN, as in PyTorch.
//
// Bound by memory. A row belongs to a team: few classes, 1 to 32 lanes of a warp, so that ten
// classes keep 8 rows in a warp and reduce in two shuffles; many classes, a whole block, with packs
// of 16 bytes where rows allow it. A row is read from memory once; its later readings find it in
// the cache. Sums are a fixed tree of float partial sums.
#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

constexpr int kWarps = kStreamThreads / 32;
constexpr int64_t kMostTeamClasses = 256;  // above this a row is the work of a block

struct Sum {
  static CONVSMITH_DEVICE float join(float a, float b) { return a + b; }
};
struct Maximum {
  static CONVSMITH_DEVICE float join(float a, float b) { return maximum(a, b); }
};

// `size` lanes of a warp, a power of two. Rows that do not exist take part in the shuffles.
struct LaneTeam {
  int rank, size;
  template <class Op>
  CONVSMITH_DEVICE float reduce(float value) const {
    for (int step = size / 2; step > 0; step /= 2) {
      value = Op::join(value, shuffle_xor(value, step));
    }
    return value;
  }
};

struct BlockTeam {
  int rank, size;
  float* scratch;  // [kWarps], shared
  template <class Op>
  CONVSMITH_DEVICE float reduce(float value) const {
    for (int step = 16; step > 0; step /= 2) value = Op::join(value, shuffle_xor(value, step));
    sync_block();  // the readers of the last reduction are done
    if (lane_id() == 0) scratch[warp_id()] = value;
    sync_block();
    float result = scratch[0];
#pragma unroll
    for (int warp = 1; warp < kWarps; ++warp) result = Op::join(result, scratch[warp]);
    return result;
  }
};

// body(i) for the packs [i, i + N) that fall to this thread; classes is a multiple of N.
template <int N, class Team, class Body>
CONVSMITH_DEVICE void for_row(const Team& team, int64_t classes, const Body& body) {
#pragma unroll 4
  for (int64_t i = team.rank * N; i < classes; i += team.size * N) body(i);
}

template <int N, class Team, class T>
CONVSMITH_DEVICE float max_row(const Team& team, int64_t classes, const T* x) {
  float best = -INFINITY;
  for_row<N>(team, classes, [&](int64_t i) {
    const Values<N> value = load_values<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) best = maximum(best, value.v[j]);
  });
  return team.template reduce<Maximum>(best);
}

// The sum over the row of term(x[i]).
template <int N, class Team, class T, class Term>
CONVSMITH_DEVICE float sum_row(const Team& team, int64_t classes, const T* x, const Term& term) {
  float sum = 0.0f;
  for_row<N>(team, classes, [&](int64_t i) {
    const Values<N> value = load_values<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum += term(value.v[j]);
  });
  return team.template reduce<Sum>(sum);
}

// The ops, each one row: `offset` is where it starts, classes is 0 for a row that does not exist.

template <class T>
struct SoftmaxForward {
  const T* x;
  T* y;
  bool logarithm;
  template <int N, class Team>
  CONVSMITH_DEVICE void run(const Team& team, int64_t, int64_t offset, int64_t classes) const {
    const T* const from = x + offset;
    T* const to = y + offset;
    const float m = max_row<N>(team, classes, from);
    const float sum = sum_row<N>(team, classes, from, [=](float v) { return expf(v - m); });
    const float over_sum = 1.0f / sum;
    const float log_sum = logf(sum);
    for_row<N>(team, classes, [=](int64_t i) {
      Values<N> value = load_values<N>(from + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float centred = value.v[j] - m;
        value.v[j] = logarithm ? centred - log_sum : expf(centred) * over_sum;
      }
      store_values<N>(to + i, value);
    });
  }
};

template <class T>
struct SoftmaxBackward {
  const T* dy;
  const T* y;
  T* dx;
  bool logarithm;
  template <int N, class Team>
  CONVSMITH_DEVICE void run(const Team& team, int64_t, int64_t offset, int64_t classes) const {
    const T* const gradient = dy + offset;
    const T* const output = y + offset;
    T* const to = dx + offset;
    float sum = 0.0f;
    for_row<N>(team, classes, [&](int64_t i) {
      const Values<N> g = load_values<N>(gradient + i);
      const Values<N> out = load_values<N>(output + i);
#pragma unroll
      for (int j = 0; j < N; ++j) sum += logarithm ? g.v[j] : g.v[j] * out.v[j];
    });
    sum = team.template reduce<Sum>(sum);
    for_row<N>(team, classes, [=](int64_t i) {
      Values<N> g = load_values<N>(gradient + i);
      const Values<N> out = load_values<N>(output + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        g.v[j] = logarithm ? g.v[j] - expf(out.v[j]) * sum : out.v[j] * (g.v[j] - sum);
      }
      store_values<N>(to + i, g);
    });
  }
};

// The target is label_share at the label plus every_share everywhere. A share of 0 counts as
// nothing even where the probability is 0 and its logarithm -inf.
template <class T>
struct CrossEntropy {
  const T* logits;
  const int64_t* labels;
  float* losses;
  T* dlogits;
  float label_share, every_share, scale;
  template <int N, class Team>
  CONVSMITH_DEVICE void run(const Team& team, int64_t row, int64_t offset, int64_t classes) const {
    const T* const x = logits + offset;
    T* const to = dlogits + offset;
    const float m = max_row<N>(team, classes, x);
    const float sum = sum_row<N>(team, classes, x, [=](float v) { return expf(v - m); });
    float centred_sum = 0.0f;
    if (every_share != 0.0f) {
      centred_sum = sum_row<N>(team, classes, x, [=](float v) { return v - m; });
    }
    if (classes == 0) return;
    const int64_t label = labels[row];
    const bool known = label >= 0 && label < classes;
    if (team.rank == 0) {
      const float log_sum = logf(sum);
      float loss = known ? 0.0f : NAN;
      if (known && label_share != 0.0f) {
        loss += label_share * (log_sum - (to_float(x[label]) - m));
      }
      if (every_share != 0.0f) {
        loss += every_share * (static_cast<float>(classes) * log_sum - centred_sum);
      }
      losses[row] = loss;
    }
    const float over_sum = known ? 1.0f / sum : NAN;
    const float at_label = label_share + every_share;
    for_row<N>(team, classes, [=](int64_t i) {
      Values<N> value = load_values<N>(x + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float target = i + j == label ? at_label : every_share;
        value.v[j] = (expf(value.v[j] - m) * over_sum - target) * scale;
      }
      store_values<N>(to + i, value);
    });
  }
};

template <class Op>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    lane_rows_kernel(int64_t rows, int64_t classes, int log_lanes, Op op) {
  const int lane = lane_id();
  const LaneTeam team{lane & ((1 << log_lanes) - 1), 1 << log_lanes};
  const int64_t step = grid_step() >> log_lanes;
  // `first` is the warp's first row: its lanes stay together, rows that do not exist included.
  for (int64_t first = (grid_index() - lane) >> log_lanes; first < rows; first += step) {
    const int64_t row = first + (lane >> log_lanes);
    op.template run<1>(team, row, row < rows ? row * classes : 0, row < rows ? classes : 0);
  }
}

template <int N, class Op>
__global__ void __launch_bounds__(kStreamThreads, kLeastResident)
    block_rows_kernel(int64_t rows, int64_t classes, Op op) {
  CONVSMITH_SHARED(float, scratch, kWarps);
  const BlockTeam team{static_cast<int>(threadIdx.x), kStreamThreads, scratch};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    op.template run<N>(team, row, row * classes, classes);
  }
}

// wide: rows start on a 16-byte border in every array.
template <int kWide, class Op>
void run_rows(const char* name, int64_t rows, int64_t classes, bool wide, const Op& op,
              Stream stream) {
  if (rows == 0 || classes == 0) return;
  if (classes <= kMostTeamClasses) {
    constexpr int64_t kClassesPerLane = 4;
    int log_lanes = 0;
    while (log_lanes < 5 && (kClassesPerLane << log_lanes) < classes) ++log_lanes;
    launch(name, lane_rows_kernel<Op>, grid_for(rows << log_lanes), kStreamThreads, 0, stream, rows,
           classes, log_lanes, op);
    return;
  }
  with_width<kWide>(wide && classes % kWide == 0, [&](auto width) {
    launch(name, block_rows_kernel<decltype(width)::value, Op>,
           Grid{rows < kMostBlocks ? rows : kMostBlocks}, kStreamThreads, 0, stream, rows, classes,
           op);
  });
}

template <class T>
void run_forward(const char* name, bool logarithm, int64_t rows, int64_t classes, const T* x, T* y,
                 Stream stream) {
  run_rows<kWidest<T>>(name, rows, classes, allows_packs<kWidest<T>>(x, y),
                       SoftmaxForward<T>{x, y, logarithm}, stream);
}

template <class T>
void run_backward(const char* name, bool logarithm, int64_t rows, int64_t classes, const T* dy,
                  const T* y, T* dx, Stream stream) {
  run_rows<kWidest<T>>(name, rows, classes, allows_packs<kWidest<T>>(dy, y, dx),
                       SoftmaxBackward<T>{dy, y, dx, logarithm}, stream);
}

}  // namespace

template <class T>
void softmax_forward(int64_t rows, int64_t classes, const T* x, T* y, Stream stream) {
  run_forward("softmax_forward", false, rows, classes, x, y, stream);
}

template <class T>
void softmax_backward(int64_t rows, int64_t classes, const T* dy, const T* y, T* dx,
                      Stream stream) {
  run_backward("softmax_backward", false, rows, classes, dy, y, dx, stream);
}

template <class T>
void log_softmax_forward(int64_t rows, int64_t classes, const T* x, T* y, Stream stream) {
  run_forward("log_softmax_forward", true, rows, classes, x, y, stream);
}

template <class T>
void log_softmax_backward(int64_t rows, int64_t classes, const T* dy, const T* y, T* dx,
                          Stream stream) {
  run_backward("log_softmax_backward", true, rows, classes, dy, y, dx, stream);
}

template <class T>
void softmax_cross_entropy(int64_t rows, int64_t classes, float label_smoothing, float scale,
                           const T* logits, const int64_t* labels, float* losses, T* dlogits,
                           Stream stream) {
  const double smoothing = static_cast<double>(label_smoothing);
  const CrossEntropy<T> op{logits,
                           labels,
                           losses,
                           dlogits,
                           static_cast<float>(1.0 - smoothing),
                           static_cast<float>(smoothing / static_cast<double>(classes)),
                           scale};
  run_rows<kWidest<T>>("softmax_cross_entropy", rows, classes,
                       allows_packs<kWidest<T>>(logits, dlogits), op, stream);
}

#define CONVSMITH_INSTANTIATE(T)                                                                   \
  template void softmax_forward<T>(int64_t, int64_t, const T*, T*, Stream);                        \
  template void softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*, Stream);             \
  template void log_softmax_forward<T>(int64_t, int64_t, const T*, T*, Stream);                    \
  template void log_softmax_backward<T>(int64_t, int64_t, const T*, const T*, T*, Stream);         \
  template void softmax_cross_entropy<T>(int64_t, int64_t, float, float, const T*, const int64_t*, \
                                         float*, T*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
