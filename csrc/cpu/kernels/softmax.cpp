// Softmax and its kin over the last axis of [rows, classes]:
//
//   softmax       y = exp(x - m) / S,  m = max(x),  S = sum exp(x - m);  dx = y (dy - sum dy y)
//   log_softmax   y = (x - m) - ln S;                                    dx = dy - exp(y) sum dy
//   cross-entropy loss = -sum t ln p,  t = (1 - smoothing) at the label + smoothing / classes
//                 everywhere;  dlogits = scale (p - t)
//
// The maximum is that of the row itself, so large and negative rows neither overflow nor vanish; a
// row of nothing but -inf gives NaN, as in PyTorch. One row is the work of one thread: its
// elements are vectors, its sums go block by block into a double, so that neither thread count nor
// row length costs accuracy. Ten classes are one masked vector and need nothing of their own.
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd_math.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kTaskFloats = 1 << 13;
constexpr int64_t kBlock = 64 * kLanes;  // floats that are added up before the double takes over
constexpr float kMinusInfinity = -__builtin_inff();

// body(row) for every row, in tasks of about kTaskFloats.
template <class Body>
CONVSMITH_INLINE void for_rows(int64_t rows, int64_t classes, const Body& body) {
  if (classes == 0) return;
  const int64_t band = classes < kTaskFloats ? kTaskFloats / classes : 1;
  parallel_ranges(rows, band, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

// The sum of term(i, lanes) over the vectors of a row; lanes beyond the row are dropped.
template <class Term>
CONVSMITH_INLINE double sum_row(int64_t classes, const Term& term) {
  double total = 0.0;
  for (int64_t begin = 0; begin < classes; begin += kBlock) {
    const int64_t rest = classes - begin;
    Vec sum = {};
    for_vectors(rest < kBlock ? rest : kBlock,
                [&](int64_t i, auto lanes) { sum += lanes.keep(term(begin + i, lanes)); });
    total += static_cast<double>(sum_lanes(sum));
  }
  return total;
}

CONVSMITH_INLINE float max_row(int64_t classes, const float* x) {
  Vec best = broadcast(kMinusInfinity);
  for_vectors(classes, [&](int64_t i, auto lanes) {
    best = maximum(best, lanes.load_or(x + i, kMinusInfinity));
  });
  return max_lanes(best);
}

// y = exp(x - m); returns the sum of y.
CONVSMITH_INLINE double exponentials(int64_t classes, const float* x, float m, float* y) {
  return sum_row(classes, [&](int64_t i, auto lanes) {
    const Vec e = exponential(lanes.load(x + i) - m);
    lanes.store(y + i, e);
    return e;
  });
}

}  // namespace

void softmax_forward(int64_t rows, int64_t classes, const float* x, float* y) {
  for_rows(rows, classes, [=](int64_t row) {
    const float* from = x + row * classes;
    float* to = y + row * classes;
    const double sum = exponentials(classes, from, max_row(classes, from), to);
    const float scale = static_cast<float>(1.0 / sum);
    for_vectors(classes,
                [=](int64_t i, auto lanes) { lanes.store(to + i, lanes.load(to + i) * scale); });
  });
}

void softmax_backward(int64_t rows, int64_t classes, const float* dy, const float* y, float* dx) {
  for_rows(rows, classes, [=](int64_t row) {
    const float* gradient = dy + row * classes;
    const float* output = y + row * classes;
    float* to = dx + row * classes;
    const float mean = static_cast<float>(sum_row(classes, [=](int64_t i, auto lanes) {
      return lanes.load(gradient + i) * lanes.load(output + i);
    }));
    for_vectors(classes, [=](int64_t i, auto lanes) {
      lanes.store(to + i, lanes.load(output + i) * (lanes.load(gradient + i) - mean));
    });
  });
}

void log_softmax_forward(int64_t rows, int64_t classes, const float* x, float* y) {
  for_rows(rows, classes, [=](int64_t row) {
    const float* from = x + row * classes;
    float* to = y + row * classes;
    const float m = max_row(classes, from);
    const double sum = sum_row(
        classes, [=](int64_t i, auto lanes) { return exponential(lanes.load(from + i) - m); });
    const float log_sum = static_cast<float>(__builtin_log(sum));
    for_vectors(classes, [=](int64_t i, auto lanes) {
      lanes.store(to + i, (lanes.load(from + i) - m) - log_sum);
    });
  });
}

void log_softmax_backward(int64_t rows, int64_t classes, const float* dy, const float* y,
                          float* dx) {
  for_rows(rows, classes, [=](int64_t row) {
    const float* gradient = dy + row * classes;
    const float* output = y + row * classes;
    float* to = dx + row * classes;
    const float sum = static_cast<float>(
        sum_row(classes, [=](int64_t i, auto lanes) { return lanes.load(gradient + i); }));
    for_vectors(classes, [=](int64_t i, auto lanes) {
      lanes.store(to + i, lanes.load(gradient + i) - exponential(lanes.load(output + i)) * sum);
    });
  });
}

void softmax_cross_entropy(int64_t rows, int64_t classes, float label_smoothing, float scale,
                           const float* logits, const int64_t* labels, float* losses,
                           float* dlogits) {
  const double label_share = 1.0 - static_cast<double>(label_smoothing);
  const double every_share = static_cast<double>(label_smoothing) / static_cast<double>(classes);
  for_rows(rows, classes, [=](int64_t row) {
    const float* x = logits + row * classes;
    float* to = dlogits + row * classes;
    const int64_t label = labels[row];
    const float m = max_row(classes, x);
    const double sum = exponentials(classes, x, m, to);
    const double log_sum = __builtin_log(sum);

    double loss = 0.0;
    // A share of 0 counts as nothing even where the probability is 0 and its logarithm -inf.
    if (label_share != 0.0) loss += label_share * (log_sum - static_cast<double>(x[label] - m));
    if (every_share != 0.0) {
      const double logits_sum =
          sum_row(classes, [=](int64_t i, auto lanes) { return lanes.load(x + i) - m; });
      loss += every_share * (static_cast<double>(classes) * log_sum - logits_sum);
    }
    losses[row] = static_cast<float>(loss);

    const float over_sum = static_cast<float>(1.0 / sum);
    const float every = static_cast<float>(every_share);
    const float at_label =
        (to[label] * over_sum - static_cast<float>(label_share + every_share)) * scale;
    for_vectors(classes, [=](int64_t i, auto lanes) {
      lanes.store(to + i, (lanes.load(to + i) * over_sum - every) * scale);
    });
    to[label] = at_label;
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
