// Runs every CUDA rung under the simt executor on sizes with odd tails, against double-precision
// loops. Prints "ladder rung size relative-error" for each run.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "conv2d/cuda/rungs.h"
#include "cuda/device.cuh"
#include "gemm/cuda/rungs.h"
#include "shapes.h"

using namespace convsmith;
using namespace convsmith::cuda;
using namespace convsmith::cuda::ladder;

namespace {

std::vector<float> numbers(int64_t count, uint32_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(seed)) / 2147483648.0f;
  }
  return values;
}

// The same numbers in 16 bits; values become what the 16 bits hold.
std::vector<bfloat16> narrowed(std::vector<float>& values) {
  std::vector<bfloat16> narrow;
  for (float& value : values) {
    narrow.push_back(from_float<bfloat16>(value));
    value = to_float(narrow.back());
  }
  return narrow;
}

void report(const char* ladder, const char* rung, const std::string& size,
            const std::vector<float>& got, const std::vector<double>& expected) {
  double worst = 0.0, largest = 1e-30;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(static_cast<double>(got[i]) - expected[i]);
    worst = error <= worst ? worst : error;  // NaN is the worst
    largest = std::fmax(largest, std::fabs(expected[i]));
  }
  std::printf("%s %s %s %.3g\n", ladder, rung, size.c_str(), worst / largest);
}

std::vector<float> poisoned(size_t count) { return std::vector<float>(count, NAN); }

void check_gemm(int m, int n, int k) {
  std::vector<float> a = numbers(m * k, 1), b = numbers(k * n, 2);
  const auto expected = [&] {
    std::vector<double> c(static_cast<size_t>(m * n));
    for (int i = 0; i < m * n; ++i) {
      for (int l = 0; l < k; ++l) {
        c[static_cast<size_t>(i)] += static_cast<double>(a[static_cast<size_t>(i / n * k + l)]) *
                                     static_cast<double>(b[static_cast<size_t>(l * n + i % n)]);
      }
    }
    return c;
  };
  const std::string size = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
  const std::vector<double> exact = expected();
  for (const auto& rung : kGemmRungs) {
    if (n % rung.multiple != 0 || k % rung.multiple != 0) continue;
    std::vector<float> c = poisoned(exact.size());
    rung.run(m, n, k, a.data(), b.data(), c.data(), nullptr);
    report("gemm", rung.name, size, c, exact);
  }
  if (n % 8 != 0 || k % 8 != 0) return;
  const std::vector<bfloat16> narrow_a = narrowed(a), narrow_b = narrowed(b);
  std::vector<float> c = poisoned(exact.size());
  gemm_08_tensor_core(m, n, k, narrow_a.data(), narrow_b.data(), c.data(), nullptr);
  report("gemm", "08_tensor_core", size, c, expected());
}

Conv2dShape shape_of(int64_t batch, int64_t edge, int64_t in_c, int64_t out_c, int64_t kernel,
                     int64_t stride, int64_t pad, int64_t dilation) {
  const int64_t out = (edge + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
  return {batch,  edge,   edge,     in_c,     out, out, out_c, kernel, kernel,
          stride, stride, dilation, dilation, pad, pad, pad,   pad,    1};
}

void check_conv2d(const Conv2dShape& s) {
  std::vector<float> x = numbers(s.batch * s.in_h * s.in_w * s.in_c, 3);
  std::vector<float> weight = numbers(s.out_c * s.kernel_h * s.kernel_w * s.in_c, 4);
  const auto expected = [&] {
    std::vector<double> y;
    for (int64_t m = 0; m < s.batch * s.out_h * s.out_w; ++m) {
      const int64_t n = m / (s.out_h * s.out_w), oh = m / s.out_w % s.out_h, ow = m % s.out_w;
      for (int64_t oc = 0; oc < s.out_c; ++oc) {
        double sum = 0.0;
        for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
          for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
            const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
            const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
            if (ih < 0 || ih >= s.in_h || iw < 0 || iw >= s.in_w) continue;
            for (int64_t ic = 0; ic < s.in_c; ++ic) {
              const int64_t at = ((n * s.in_h + ih) * s.in_w + iw) * s.in_c + ic;
              const int64_t tap = ((oc * s.kernel_h + kh) * s.kernel_w + kw) * s.in_c + ic;
              sum += static_cast<double>(x[static_cast<size_t>(at)]) *
                     static_cast<double>(weight[static_cast<size_t>(tap)]);
            }
          }
        }
        y.push_back(sum);
      }
    }
    return y;
  };
  const std::string size = std::to_string(s.in_h) + "x" + std::to_string(s.in_c) + "-" +
                           std::to_string(s.out_c) + "k" + std::to_string(s.kernel_h) + "s" +
                           std::to_string(s.stride_h);
  const std::vector<double> exact = expected();
  for (const auto& rung : kConv2dRungs) {
    if (s.in_c % rung.multiple != 0) continue;
    std::vector<float> y = poisoned(exact.size());
    rung.run(s, x.data(), weight.data(), y.data(), nullptr);
    report("conv2d", rung.name, size, y, exact);
  }
  if (s.in_c % 8 != 0) return;
  const std::vector<bfloat16> narrow_x = narrowed(x), narrow_weight = narrowed(weight);
  std::vector<float> y = poisoned(exact.size());
  conv2d_05_matrix_units(s, narrow_x.data(), narrow_weight.data(), y.data(), nullptr);
  report("conv2d", "05_matrix_units", size, y, expected());
}

}  // namespace

int main() {
  check_gemm(1, 1, 1);
  check_gemm(37, 41, 19);
  check_gemm(133, 36, 20);
  check_gemm(67, 72, 88);
  check_conv2d(shape_of(1, 5, 3, 7, 3, 1, 1, 1));
  check_conv2d(shape_of(2, 7, 4, 33, 3, 2, 1, 1));
  check_conv2d(shape_of(1, 9, 16, 35, 3, 1, 2, 2));
  check_conv2d(shape_of(1, 8, 40, 70, 1, 1, 0, 1));
  return 0;
}
