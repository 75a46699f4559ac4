// The middle step of batch_norm.cu: partial results of many blocks become one result a channel, and
// the coefficients of the elementwise pass that follows. Small arrays, so double is affordable.
#pragma once

#include "cuda/streaming.cuh"

namespace convsmith::cuda {
namespace {

// The statistics of `count` rows: squares are those of the distances from the mean.
struct Moments {
  double count, mean, squares;
};

// What one block knows: the sums of x - pivot and of its square.
struct ShiftedSums {
  double rows, pivot, off, squares;
};
CONVSMITH_DEVICE Moments moments_of(const ShiftedSums& sums) {
  const double off = sums.off / sums.rows;
  return {sums.rows, sums.pivot + off, sums.squares - sums.off * off};
}

CONVSMITH_DEVICE Moments merge(const Moments& a, const Moments& b) {
  if (b.count == 0.0) return a;
  if (a.count == 0.0) return b;
  const double count = a.count + b.count;
  const double share = b.count / count;
  const double distance = b.mean - a.mean;
  return {count, a.mean + distance * share,
          a.squares + b.squares + distance * distance * a.count * share};
}

// The merges: a block has 8 channels and 32 shares of the partial results.
constexpr int kMergeChannels = 8;
constexpr int kMergeShares = kStreamThreads / kMergeChannels;

struct MergePlace {
  int64_t channel;
  int share, column;
};
CONVSMITH_DEVICE MergePlace merge_place() {
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kMergeChannels;
  return {static_cast<int64_t>(blockIdx.x) * kMergeChannels + column, thread / kMergeChannels,
          column};
}

CONVSMITH_DEVICE double inverse_deviation(double var, float eps) {
  return 1.0 / sqrt(var + static_cast<double>(eps));
}

// Per channel, what the elementwise pass needs: [4][channels] (see apply_kernel).
struct Coefficients {
  float *centre, *scale, *slope, *constant;
};

__global__ void __launch_bounds__(kStreamThreads)
    batch_norm_merge_statistics_kernel(int64_t channels, int row_blocks, float eps,
                                       const ShiftedSums* partial, const float* gamma,
                                       const float* beta, float* mean, float* var,
                                       Coefficients to) {
  CONVSMITH_SHARED(Moments, shares, kStreamThreads);
  const MergePlace at = merge_place();
  Moments total{0.0, 0.0, 0.0};
  if (at.channel < channels) {
    for (int block = at.share; block < row_blocks; block += kMergeShares) {
      total = merge(total, moments_of(partial[block * channels + at.channel]));
    }
  }
  const int thread = static_cast<int>(threadIdx.x);
  shares[thread] = total;
  for (int half = kMergeShares / 2; half > 0; half /= 2) {
    sync_block();
    if (at.share < half) {
      shares[thread] = merge(shares[thread], shares[thread + half * kMergeChannels]);
    }
  }
  if (at.share != 0 || at.channel >= channels) return;
  total = shares[thread];
  const double spread = total.count > 0.0 ? total.squares / total.count : 0.0;
  const double factor = static_cast<double>(gamma[at.channel]) * inverse_deviation(spread, eps);
  const float centre = static_cast<float>(total.mean);
  mean[at.channel] = centre;
  var[at.channel] = static_cast<float>(spread);
  to.centre[at.channel] = centre;
  to.scale[at.channel] = static_cast<float>(factor);
  // What the float of the mean lacks goes where it is small beside the other term.
  to.constant[at.channel] = static_cast<float>(static_cast<double>(beta[at.channel]) -
                                               (total.mean - static_cast<double>(centre)) * factor);
}

// through_statistics: mean and var are functions of x.
__global__ void __launch_bounds__(kStreamThreads)
    batch_norm_merge_gradients_kernel(int64_t rows, int64_t channels, int row_blocks, float eps,
                                      bool through_statistics, const float* partial,
                                      const float* gamma, const float* mean, const float* var,
                                      float* dgamma, float* dbeta, Coefficients to) {
  CONVSMITH_SHARED(double, gradients, kStreamThreads);
  CONVSMITH_SHARED(double, products, kStreamThreads);
  const MergePlace at = merge_place();
  double gradient = 0.0, product = 0.0;
  if (at.channel < channels) {
    for (int block = at.share; block < row_blocks; block += kMergeShares) {
      const float* const from = partial + block * 2 * channels + at.channel;
      gradient += static_cast<double>(from[0]);
      product += static_cast<double>(from[channels]);
    }
  }
  const int thread = static_cast<int>(threadIdx.x);
  gradients[thread] = gradient;
  products[thread] = product;
  for (int half = kMergeShares / 2; half > 0; half /= 2) {
    sync_block();
    if (at.share < half) {
      gradients[thread] += gradients[thread + half * kMergeChannels];
      products[thread] += products[thread + half * kMergeChannels];
    }
  }
  if (at.share != 0 || at.channel >= channels) return;
  const double inverse = inverse_deviation(static_cast<double>(var[at.channel]), eps);
  const double sum_gradient = gradients[thread], sum_product = products[thread] * inverse;
  dbeta[at.channel] = static_cast<float>(sum_gradient);
  dgamma[at.channel] = static_cast<float>(sum_product);
  const double over_rows = rows > 0 ? 1.0 / static_cast<double>(rows) : 0.0;
  to.centre[at.channel] = through_statistics ? mean[at.channel] : 0.0f;
  to.scale[at.channel] = static_cast<float>(static_cast<double>(gamma[at.channel]) * inverse);
  to.slope[at.channel] = static_cast<float>(sum_product * over_rows * inverse);
  to.constant[at.channel] =
      through_statistics ? static_cast<float>(sum_gradient * over_rows) : 0.0f;
}

__global__ void __launch_bounds__(kStreamThreads)
    batch_norm_coefficients_kernel(int64_t channels, float eps, const float* gamma,
                                   const float* beta, const float* mean, const float* var,
                                   Coefficients to) {
  for (int64_t c = grid_index(); c < channels; c += grid_step()) {
    to.centre[c] = mean[c];
    to.scale[c] = static_cast<float>(static_cast<double>(gamma[c]) *
                                     inverse_deviation(static_cast<double>(var[c]), eps));
    to.constant[c] = beta[c];
  }
}

Grid merge_grid(int64_t channels) { return Grid{(channels + kMergeChannels - 1) / kMergeChannels}; }

}  // namespace
}  // namespace convsmith::cuda
