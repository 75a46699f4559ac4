// c = op(a) op(b): row-major, op(a) [gemm_m, gemm_k], op(b) [gemm_k, gemm_n]; a and b are stored
// transposed where their flag is set. Scaling, bias, residual and activation are applied outside.
//
// The loop over columns is innermost: it runs along rows of b and c, which a compiler turns into
// vector instructions. To go on: tiles of c in registers, blocks of a and b that stay in the cache,
// threads.
#include <algorithm>

#include "shapes.h"

using convsmith::GemmShape;

void gemm(const GemmShape& shape, const float* a, const float* b, float* c) {
  const int64_t rows = shape.gemm_m, columns = shape.gemm_n, depth = shape.gemm_k;
  for (int64_t i = 0; i < rows; ++i) {
    float* c_row = c + i * columns;
    std::fill(c_row, c_row + columns, 0.0f);
    for (int64_t k = 0; k < depth; ++k) {
      const float factor = shape.transpose_a ? a[k * rows + i] : a[i * depth + k];
      const float* b_first = shape.transpose_b ? b + k : b + k * columns;
      const int64_t b_step = shape.transpose_b ? depth : 1;
      for (int64_t j = 0; j < columns; ++j) c_row[j] += factor * b_first[j * b_step];
    }
  }
}
