// c = activation(alpha op(a) op(b) + beta c + bias + residual), row-major.
// B is packed into panels once; rows of A are read in place, or transposed block by block.
#include "cpu/arena.h"
#include "cpu/kernels/implicit_gemm.h"
#include "cpu/kernels_of_isa.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

struct Matrices {
  const float *a, *b;
  int64_t a_stride, b_stride, c_stride;
  float* c;
};

void point_at_rows(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                   const float** rows, int64_t, float*) {
  const Matrices& m = *static_cast<const Matrices*>(context);
  for (int64_t i = 0; i < count; ++i) rows[i] = m.a + (m0 + i) * m.a_stride + block.offset;
}

void gather_transposed_rows(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                            const float** rows, int64_t, float* scratch) {
  const Matrices& m = *static_cast<const Matrices*>(context);
  const int64_t stride = gathered_stride(block.depth);
  transpose(m.a + block.offset * m.a_stride + m0, m.a_stride, block.depth, count, scratch, stride);
  for (int64_t i = 0; i < count; ++i) rows[i] = scratch + i * stride;
}

void point_at_outputs(const void* context, int64_t m0, int64_t count, float** outputs) {
  const Matrices& m = *static_cast<const Matrices*>(context);
  for (int64_t i = 0; i < count; ++i) outputs[i] = m.c + (m0 + i) * m.c_stride;
}

const float* row_of_b(const void* context, int64_t k) {
  const Matrices& m = *static_cast<const Matrices*>(context);
  return m.b + k * m.b_stride;
}

}  // namespace

void gemm(const GemmShape& shape, float alpha, const float* a, const float* b, float beta,
          const Epilogue& epilogue, float* c) {
  const int64_t gemm_m = shape.gemm_m, gemm_n = shape.gemm_n, gemm_k = shape.gemm_k;
  const Matrices matrices{
      a, b, shape.transpose_a ? gemm_m : gemm_k, shape.transpose_b ? gemm_k : gemm_n, gemm_n, c};
  Workspace packed(packed_floats(gemm_k, gemm_n) * sizeof(float));
  if (shape.transpose_b) {
    pack_transposed(b, gemm_k, gemm_k, gemm_n, packed.floats);
  } else {
    pack_rows(row_of_b, &matrices, gemm_k, gemm_n, packed.floats);
  }
  ImplicitGemm problem;
  problem.gemm_m = gemm_m;
  problem.gemm_n = gemm_n;
  problem.taps = 1;
  problem.depth = gemm_k;
  problem.fill_rows = shape.transpose_a ? gather_transposed_rows : point_at_rows;
  problem.fill_outputs = point_at_outputs;
  problem.context = &matrices;
  problem.gathers = shape.transpose_a;
  problem.copy_rows = !shape.transpose_a && rows_alias(gemm_k) && gemm_n > kPanelColumns;
  problem.packed_b = packed.floats;
  problem.alpha = alpha;
  problem.beta = beta;
  problem.epilogue = epilogue;
  problem.c_origin = c;
  implicit_gemm(&problem, 1);
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
