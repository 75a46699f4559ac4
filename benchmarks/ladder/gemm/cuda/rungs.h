// The CUDA rungs of the GEMM ladder, in order: c[m, n] = a[m, k] b[k, n], row-major.
#pragma once

#include "cuda/types.h"

namespace convsmith::cuda::ladder {

using GemmRung = void (*)(int m, int n, int k, const float* a, const float* b, float* c, Stream);

void gemm_01_naive(int m, int n, int k, const float* a, const float* b, float* c, Stream);
void gemm_02_coalesced(int m, int n, int k, const float* a, const float* b, float* c, Stream);
void gemm_03_shared_tile(int m, int n, int k, const float* a, const float* b, float* c, Stream);
void gemm_04_column_of_sums(int m, int n, int k, const float* a, const float* b, float* c, Stream);
void gemm_05_square_of_sums(int m, int n, int k, const float* a, const float* b, float* c, Stream);
// From here on: n and k multiples of 4, so that 16 bytes can move at once.
void gemm_06_vectors(int m, int n, int k, const float* a, const float* b, float* c, Stream);
void gemm_07_double_buffer(int m, int n, int k, const float* a, const float* b, float* c, Stream);
// 16-bit operands, float sums; n and k multiples of 8.
void gemm_08_tensor_core(int m, int n, int k, const bfloat16* a, const bfloat16* b, float* c,
                         Stream);

constexpr struct {
  const char* name;
  GemmRung run;
  int multiple;  // of n and k
} kGemmRungs[] = {
    {"01_naive", gemm_01_naive, 1},
    {"02_coalesced", gemm_02_coalesced, 1},
    {"03_shared_tile", gemm_03_shared_tile, 1},
    {"04_column_of_sums", gemm_04_column_of_sums, 1},
    {"05_square_of_sums", gemm_05_square_of_sums, 1},
    {"06_vectors", gemm_06_vectors, 4},
    {"07_double_buffer", gemm_07_double_buffer, 4},
};

}  // namespace convsmith::cuda::ladder
