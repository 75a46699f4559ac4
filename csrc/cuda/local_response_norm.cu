// Local response normalisation over the last axis of [rows, channels] (Krizhevsky et al. 2012, as
// torch.nn.LocalResponseNorm):
//
//   base_c = k + alpha / size * sum over c - size/2 ... c + (size - 1)/2 of x^2
//   y_c    = x_c base_c^-beta
//   dx_c   = dy_c base_c^-beta - 2 alpha beta / size x_c * sum over c - (size - 1)/2 ... c + size/2
//            of dy x base^(-beta - 1)
//
// A block takes a tile of the flat array, of any rows, with a halo of `size - 1` elements on either
// side (twice that for the backward, whose windows are windows of windows), into shared memory:
// every element is read from memory about once, in packs. Windows are cut off at their own row, so
// what the tile holds of other rows is never used. A window too large for shared memory is read
// from global memory, slowly.
#include "cuda/kernels.cuh"
#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

constexpr int64_t kMostHalo = 256;

struct Norm {
  int64_t elements;
  FastDivide channels;
  int64_t before, after;  // the window around a channel, cut down to what rows can hold
  float share, beta, k;
};

Norm norm_of(int64_t rows, int64_t channels, const LocalResponseNorm& norm) {
  const int64_t most = channels - 1;
  const int64_t before = norm.size / 2, after = (norm.size - 1) / 2;
  return {rows * channels,
          fast_divide(channels),
          before < most ? before : most,
          after < most ? after : most,
          norm.alpha / static_cast<float>(norm.size),
          norm.beta,
          norm.k};
}

// base^-beta
CONVSMITH_DEVICE float inverse_power(float base, float beta) {
  return beta == 0.0f ? 1.0f : expf(-beta * logf(base));
}

// The elements of a window [e - before, e + after] that lie in the row of e.
struct Span {
  int64_t first, end;
};
CONVSMITH_DEVICE Span span_of(const Norm& n, int64_t e, int64_t before, int64_t after) {
  const int64_t row = divide(e, n.channels) * n.channels.divisor;
  const int64_t row_end = row + n.channels.divisor;
  return {e - before > row ? e - before : row, e + after + 1 < row_end ? e + after + 1 : row_end};
}

// value(e) is x at a flat index.
template <class Value>
CONVSMITH_DEVICE float base_of(const Norm& n, int64_t e, const Value& value) {
  const Span span = span_of(n, e, n.before, n.after);
  float sum = 0.0f;
  for (int64_t i = span.first; i < span.end; ++i) {
    const float v = value(i);
    sum += v * v;
  }
  return n.k + n.share * sum;
}

// The second sum of dx, over term(i) = dy x base^(-beta - 1).
template <class Term>
CONVSMITH_DEVICE float through_of(const Norm& n, int64_t e, const Term& term) {
  const Span span = span_of(n, e, n.after, n.before);
  float sum = 0.0f;
  for (int64_t i = span.first; i < span.end; ++i) sum += term(i);
  return sum;
}

// Elements [first, first + count) of `from` into shared memory as floats; those outside the array
// are left out, for no window reaches them. Packs: first is a multiple of N.
template <int N, class T>
CONVSMITH_DEVICE void stage(const T* from, int64_t elements, int64_t first, int count,
                            float* shared) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 2
  for (int i = thread * N; i < count; i += kStreamThreads * N) {
    const int64_t e = first + i;
    if (e >= 0 && e + N <= elements && i + N <= count) {
      const Values<N> value = load_values<N>(from + e);
#pragma unroll
      for (int j = 0; j < N; ++j) shared[i + j] = value.v[j];
    } else {
      for (int j = 0; j < N && i + j < count; ++j) {
        if (e + j >= 0 && e + j < elements) shared[i + j] = to_float(from[e + j]);
      }
    }
  }
}

// halo: at least before and after, a multiple of N.
template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    local_response_norm_forward_kernel(Norm n, int halo, const T* x, T* y) {
  CONVSMITH_DYNAMIC_SHARED(float, values);
  constexpr int kTile = kStreamThreads * N;
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t first = start - halo;
  stage<N>(x, n.elements, first, kTile + 2 * halo, values);
  sync_block();
  const int64_t end = start + kTile < n.elements ? start + kTile : n.elements;
  for (int64_t e = start + threadIdx.x; e < end; e += kStreamThreads) {
    const float base = base_of(n, e, [=](int64_t i) { return values[i - first]; });
    y[e] = from_float<T>(values[e - first] * inverse_power(base, n.beta));
  }
}

template <class T, int N>
__global__ void __launch_bounds__(kStreamThreads)
    local_response_norm_backward_kernel(Norm n, int halo, const T* dy, const T* x, T* dx) {
  CONVSMITH_DYNAMIC_SHARED(float, values);
  constexpr int kTile = kStreamThreads * N;
  // x with two halos; dy with one, each element in turn replaced by its term; base^-beta dy.
  float* const terms = values + kTile + 4 * halo;
  float* const direct = terms + kTile + 2 * halo;
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t first_value = start - 2 * halo;
  const int64_t first_term = start - halo;
  stage<N>(x, n.elements, first_value, kTile + 4 * halo, values);
  stage<N>(dy, n.elements, first_term, kTile + 2 * halo, terms);
  sync_block();
  for (int i = static_cast<int>(threadIdx.x); i < kTile + 2 * halo; i += kStreamThreads) {
    const int64_t e = first_term + i;
    if (e < 0 || e >= n.elements) continue;
    const float base = base_of(n, e, [=](int64_t j) { return values[j - first_value]; });
    const float scaled = terms[i] * inverse_power(base, n.beta);
    if (i >= halo && i < halo + kTile) direct[i - halo] = scaled;
    terms[i] = scaled * values[e - first_value] / base;
  }
  sync_block();
  const int64_t end = start + kTile < n.elements ? start + kTile : n.elements;
  const float factor = 2.0f * n.beta * n.share;
  for (int64_t e = start + threadIdx.x; e < end; e += kStreamThreads) {
    const float through = through_of(n, e, [=](int64_t i) { return terms[i - first_term]; });
    dx[e] = from_float<T>(direct[e - start] - factor * values[e - first_value] * through);
  }
}

// Windows of more than kMostHalo channels.
template <class T>
__global__ void __launch_bounds__(kStreamThreads)
    local_response_norm_forward_direct_kernel(Norm n, const T* x, T* y) {
  for (int64_t e = grid_index(); e < n.elements; e += grid_step()) {
    const float base = base_of(n, e, [=](int64_t i) { return to_float(x[i]); });
    y[e] = from_float<T>(to_float(x[e]) * inverse_power(base, n.beta));
  }
}

template <class T>
__global__ void __launch_bounds__(kStreamThreads)
    local_response_norm_backward_direct_kernel(Norm n, const T* dy, const T* x, T* dx) {
  const auto base_at = [=](int64_t e) {
    return base_of(n, e, [=](int64_t i) { return to_float(x[i]); });
  };
  const float factor = 2.0f * n.beta * n.share;
  for (int64_t e = grid_index(); e < n.elements; e += grid_step()) {
    const float through = through_of(n, e, [=](int64_t i) {
      const float base = base_at(i);
      return to_float(dy[i]) * to_float(x[i]) * inverse_power(base, n.beta) / base;
    });
    const float direct = to_float(dy[e]) * inverse_power(base_at(e), n.beta);
    dx[e] = from_float<T>(direct - factor * to_float(x[e]) * through);
  }
}

// The halo of a tile: both windows, in whole packs.
template <int N>
int halo_of(const Norm& n) {
  const int64_t most = n.before > n.after ? n.before : n.after;
  return static_cast<int>((most + N - 1) / N * N);
}

}  // namespace

template <class T>
void local_response_norm_forward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                 const T* x, T* y, Stream stream) {
  const char* op = "local_response_norm_forward";
  const Norm n = norm_of(rows, channels, norm);
  if (n.elements == 0) return;
  if (n.before > kMostHalo) {
    launch(op, local_response_norm_forward_direct_kernel<T>, grid_for(n.elements), kStreamThreads,
           0, stream, n, x, y);
    return;
  }
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(x), [&](auto width) {
    constexpr int N = decltype(width)::value;
    constexpr int kTile = kStreamThreads * N;
    const int halo = halo_of<N>(n);
    const size_t shared_bytes = static_cast<size_t>(kTile + 2 * halo) * sizeof(float);
    launch(op, local_response_norm_forward_kernel<T, N>, Grid{(n.elements + kTile - 1) / kTile},
           kStreamThreads, shared_bytes, stream, n, halo, x, y);
  });
}

template <class T>
void local_response_norm_backward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                  const T* dy, const T* x, T* dx, Stream stream) {
  const char* op = "local_response_norm_backward";
  const Norm n = norm_of(rows, channels, norm);
  if (n.elements == 0) return;
  if (n.before > kMostHalo) {
    launch(op, local_response_norm_backward_direct_kernel<T>, grid_for(n.elements), kStreamThreads,
           0, stream, n, dy, x, dx);
    return;
  }
  with_width<kWidest<T>>(allows_packs<kWidest<T>>(dy, x), [&](auto width) {
    constexpr int N = decltype(width)::value;
    constexpr int kTile = kStreamThreads * N;
    const int halo = halo_of<N>(n);
    const size_t shared_bytes = static_cast<size_t>(3 * kTile + 6 * halo) * sizeof(float);
    launch(op, local_response_norm_backward_kernel<T, N>, Grid{(n.elements + kTile - 1) / kTile},
           kStreamThreads, shared_bytes, stream, n, halo, dy, x, dx);
  });
}

#define CONVSMITH_INSTANTIATE(T)                                                            \
  template void local_response_norm_forward<T>(int64_t, int64_t, const LocalResponseNorm&,  \
                                               const T*, T*, Stream);                       \
  template void local_response_norm_backward<T>(int64_t, int64_t, const LocalResponseNorm&, \
                                                const T*, const T*, T*, Stream);
CONVSMITH_FOR_STORAGE_TYPES(CONVSMITH_INSTANTIATE)
#undef CONVSMITH_INSTANTIATE

}  // namespace convsmith::cuda
