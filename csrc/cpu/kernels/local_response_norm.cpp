// Local response normalisation over the last axis of [rows, channels] (Krizhevsky et al. 2012, as
// torch.nn.LocalResponseNorm):
//
//   base_c = k + alpha / size * sum over c - size/2 ... c + (size - 1)/2 of x^2
//   y_c    = x_c base_c^-beta
//   dx_c   = dy_c base_c^-beta - 2 alpha beta / size x_c * sum over c - (size - 1)/2 ... c + size/2
//            of dy x base^(-beta - 1)
//
// Each thread keeps the row's squares (and, backward, the terms of the second sum) in a buffer with
// zeros on either side, so that a window is `size` unaligned loads and knows no border. A running
// sum would be fewer additions but loses digits.
#include "cpu/arena.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_math.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kTaskFloats = 1 << 13;

// A row with room for the window on both sides and for whole vectors at the end.
struct Padded {
  int64_t before, after, floats;
};

Padded padded_row(int64_t channels, int64_t size) {
  const int64_t most = channels - 1;  // what lies further away is zero anyway
  const int64_t before = size / 2 < most ? size / 2 : most;
  const int64_t after = (size - 1) / 2 < most ? (size - 1) / 2 : most;
  return {before, after, channels + before + after + kLanes};
}

CONVSMITH_INLINE void clear(float* p, int64_t floats) {
  for (int64_t i = 0; i < floats; ++i) p[i] = 0.0f;
}

CONVSMITH_INLINE Vec window_sum(const float* first, int64_t count) {
  Vec sum = load(first);
  for (int64_t i = 1; i < count; ++i) sum += load(first + i);
  return sum;
}

// base^-beta
CONVSMITH_INLINE Vec inverse_power(Vec base, float beta) {
  if (beta == 0.0f) return broadcast(1.0f);
  return exponential(-beta * logarithm(base));
}

// body(row, scratch) for every row; each thread has its own scratch, zero at first.
template <class Body>
CONVSMITH_INLINE void for_rows(int64_t rows, int64_t channels, int64_t scratch_floats,
                               const Body& body) {
  const int workers = num_threads();
  const Workspace workspace(static_cast<size_t>(workers * scratch_floats) * sizeof(float));
  clear(workspace.floats, workers * scratch_floats);
  const int64_t band = channels < kTaskFloats ? kTaskFloats / channels : 1;
  parallel_for((rows + band - 1) / band, workers, [&](int64_t task, int worker) {
    float* scratch = workspace.floats + worker * scratch_floats;
    const int64_t end = (task + 1) * band < rows ? (task + 1) * band : rows;
    for (int64_t row = task * band; row < end; ++row) body(row, scratch);
  });
}

}  // namespace

void local_response_norm_forward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                 const float* x, float* y) {
  const Padded padded = padded_row(channels, norm.size);
  const int64_t window = padded.before + padded.after + 1;
  const float share = norm.alpha / static_cast<float>(norm.size);
  for_rows(rows, channels, padded.floats, [&](int64_t row, float* scratch) {
    const float* from = x + row * channels;
    float* to = y + row * channels;
    float* squares = scratch + padded.before;
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const Vec v = lanes.load(from + c);
      lanes.store(squares + c, v * v);
    });
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const Vec base = norm.k + share * window_sum(scratch + c, window);
      lanes.store(to + c, lanes.load(from + c) * inverse_power(base, norm.beta));
    });
  });
}

void local_response_norm_backward(int64_t rows, int64_t channels, const LocalResponseNorm& norm,
                                  const float* dy, const float* x, float* dx) {
  const Padded padded = padded_row(channels, norm.size);
  const int64_t window = padded.before + padded.after + 1;
  const float share = norm.alpha / static_cast<float>(norm.size);
  const float factor = 2.0f * norm.beta * share;
  for_rows(rows, channels, 2 * padded.floats, [&](int64_t row, float* scratch) {
    const float* gradient = dy + row * channels;
    const float* from = x + row * channels;
    float* to = dx + row * channels;
    float* squares = scratch + padded.before;
    float* const mirrored = scratch + padded.floats;  // the window seen from the other end
    float* terms = mirrored + padded.after;
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const Vec v = lanes.load(from + c);
      lanes.store(squares + c, v * v);
    });
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const Vec base = norm.k + share * window_sum(scratch + c, window);
      const Vec direct = lanes.load(gradient + c) * inverse_power(base, norm.beta);
      lanes.store(to + c, direct);
      lanes.store(terms + c, direct * lanes.load(from + c) / base);
    });
    for_vectors(channels, [&](int64_t c, auto lanes) {
      const Vec through = lanes.load(from + c) * window_sum(mirrored + c, window);
      lanes.store(to + c, lanes.load(to + c) - factor * through);
    });
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
