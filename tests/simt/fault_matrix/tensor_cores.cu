// Tensor cores: fragments in the wrong place. C = A B with A [16, 32] and B [8, 32], both K-major.
#include "harness.h"

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // planted

namespace convsmith::cuda::faults {
namespace {

constexpr int kRows = 16;
constexpr int kColumns = 8;
constexpr int kDepth = 32;
constexpr int kPitch = kDepth + 8;  // elements; rows stay at multiples of 16 bytes

enum class Fault {
  none,
  swapped_a_fragments,
  swapped_b_fragments,
  rows_not_wrapped,
  transposed,
  uninitialised,
  rows_of_c_exchanged,
  misaligned,
  half_a_warp,
  skipped_k_step,
};

template <class T, bool StartsAtZero>
__global__ void mma_kernel(const T* a, const T* b, float* c, Fault fault) {
  CONVSMITH_SHARED(T, a_tile, kRows * kPitch);
  CONVSMITH_SHARED(T, b_tile, kColumns * kPitch);
  const int lane = lane_id();
  for (int i = lane; i < kRows * kDepth; i += 32) a_tile[i / kDepth * kPitch + i % kDepth] = a[i];
  for (int i = lane; i < kColumns * kDepth; i += 32) {
    b_tile[i / kDepth * kPitch + i % kDepth] = b[i];
  }
  sync_block();
  float sum[4];
  if (StartsAtZero) {
    for (float& one : sum) one = 0;
  }
  for (int k = 0; k < (fault == Fault::skipped_k_step ? 16 : kDepth); k += 16) {
    uint32_t a_part[4];
    uint32_t b_part[2];
    const int row = fault == Fault::rows_not_wrapped ? lane % 8 : lane % 16;
    const int shift = fault == Fault::misaligned ? 4 : 0;
    load_matrix_x4(a_part, a_tile + row * kPitch + k + lane / 16 * 8 + shift);
    const T* b_row = b_tile + lane % 8 * kPitch + k + lane / 8 % 2 * 8;
    if (fault == Fault::transposed) {
      load_matrix_x2_transposed(b_part, b_row);
    } else {
      load_matrix_x2(b_part, b_row);
    }
    if (fault == Fault::swapped_a_fragments) {
      const uint32_t kept = a_part[1];
      a_part[1] = a_part[2];
      a_part[2] = kept;
    }
    if (fault == Fault::swapped_b_fragments) {
      const uint32_t kept = b_part[0];
      b_part[0] = b_part[1];
      b_part[1] = kept;
    }
    if (fault != Fault::half_a_warp || lane < 16) mma_16x8x16(sum, a_part, b_part, T{});
  }
  for (int i = 0; i < 4; ++i) {
    const int half = fault == Fault::rows_of_c_exchanged ? 1 - i / 2 : i / 2;
    c[(lane / 4 + 8 * half) * kColumns + 2 * (lane % 4) + i % 2] = sum[i];
  }
}

__global__ void tf32_kernel(const float* a, const float* b, float* c, bool bad) {
  const int lane = lane_id();
  const int g = lane / 4;
  const int t = lane % 4;
  float sum[4] = {};
  for (int k = 0; k < kDepth; k += 8) {
    uint32_t a_part[4];
    for (int i = 0; i < 4; ++i) {
      // The order of a 16-bit fragment, or of A with rows and columns exchanged.
      const int row = g + 8 * (bad ? i / 2 : i % 2);
      const int column = t + 4 * (bad ? i % 2 : i / 2);
      a_part[i] = to_tf32(a[row * kDepth + k + column]);
    }
    const uint32_t b_part[2] = {to_tf32(b[g * kDepth + k + t]), to_tf32(b[g * kDepth + k + t + 4])};
    mma_16x8x8_tf32(sum, a_part, b_part);
  }
  for (int i = 0; i < 4; ++i) c[(g + 8 * (i / 2)) * kColumns + 2 * t + i % 2] = sum[i];
}

float a_at(int64_t i) { return static_cast<float>(value_at(i)); }
float b_at(int64_t i) { return static_cast<float>(value_at(5 * i + 3)); }

int product_at(int64_t i) {
  float sum = 0;
  for (int k = 0; k < kDepth; ++k) {
    sum += a_at(i / kColumns * kDepth + k) * b_at(i % kColumns * kDepth + k);
  }
  return static_cast<int>(sum);
}

template <class T, Fault fault>
void product(bool bad) {
  Array<T> a(kRows * kDepth, "a"), b(kColumns * kDepth, "b");
  Array<float> c(kRows * kColumns, "c");
  for (int64_t i = 0; i < a.size(); ++i) a[i] = from_float<T>(a_at(i));
  for (int64_t i = 0; i < b.size(); ++i) b[i] = from_float<T>(b_at(i));
  const auto kernel =
      bad && fault == Fault::uninitialised ? mma_kernel<T, false> : mma_kernel<T, true>;
  launch("mma", kernel, Grid{1}, 32, 0, nullptr, a.data(), b.data(), c.data(),
         bad ? fault : Fault::none);
  expect(c, product_at);
}

void tf32_product(bool bad) {
  Array<float> a(kRows * kDepth, "a"), b(kColumns * kDepth, "b"), c(kRows * kColumns, "c");
  fill(a, a_at);
  fill(b, b_at);
  launch("mma_tf32", tf32_kernel, Grid{1}, 32, 0, nullptr, a.data(), b.data(), c.data(), bad);
  expect(c, product_at);
}

}  // namespace

std::vector<Case> tensor_core_cases() {
  return {
      {"mma_a_fragments_swapped", "result", "", product<bfloat16, Fault::swapped_a_fragments>},
      {"mma_b_fragments_swapped", "result", "", product<float16, Fault::swapped_b_fragments>},
      {"ldmatrix_wrong_row", "result", "", product<bfloat16, Fault::rows_not_wrapped>},
      {"ldmatrix_transposed", "result", "", product<float16, Fault::transposed>},
      {"ldmatrix_misaligned", "error", "misaligned", product<bfloat16, Fault::misaligned>},
      {"mma_uninitialised", "result", "", product<bfloat16, Fault::uninitialised>},
      {"mma_rows_of_c_exchanged", "result", "", product<float16, Fault::rows_of_c_exchanged>},
      {"mma_by_half_a_warp", "error", "divergent warp", product<bfloat16, Fault::half_a_warp>},
      {"mma_k_step_skipped", "result", "", product<bfloat16, Fault::skipped_k_step>},
      {"mma_tf32_fragments_swapped", "result", "", tf32_product},
  };
}

}  // namespace convsmith::cuda::faults
