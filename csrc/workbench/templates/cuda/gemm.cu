// c = op(a) op(b): row-major, op(a) [gemm_m, gemm_k], op(b) [gemm_k, gemm_n]; a and b are stored
// transposed where their flag is set. Scaling, bias, residual and activation are applied outside.
//
// A block computes a square of c, one element a thread, and walks along the depth: it copies a
// square of a and one of b into shared memory, so that each number read from global memory serves
// kTile threads. To go on: several elements a thread, in registers, and wider squares.
#include "cuda/device.cuh"
#include "shapes.h"

using namespace convsmith;        // GemmShape
using namespace convsmith::cuda;  // what device.cuh offers: sync_block, launch, ...

namespace {

constexpr int kTile = 16;

__global__ void gemm_kernel(GemmShape shape, const float* a, const float* b, float* c) {
  CONVSMITH_SHARED(float, a_tile, kTile* kTile);  // [row][depth]
  CONVSMITH_SHARED(float, b_tile, kTile* kTile);  // [depth][column]
  const int i = static_cast<int>(threadIdx.x) / kTile;
  const int j = static_cast<int>(threadIdx.x) % kTile;
  const int64_t row = int64_t{blockIdx.x} * kTile + i;
  const int64_t column = int64_t{blockIdx.y} * kTile + j;

  float sum = 0.0f;
  for (int64_t first = 0; first < shape.gemm_k; first += kTile) {
    float from_a = 0.0f;  // outside the matrix: adds nothing
    if (row < shape.gemm_m && first + j < shape.gemm_k) {
      from_a = shape.transpose_a ? a[(first + j) * shape.gemm_m + row]
                                 : a[row * shape.gemm_k + first + j];
    }
    float from_b = 0.0f;
    if (column < shape.gemm_n && first + i < shape.gemm_k) {
      from_b = shape.transpose_b ? b[column * shape.gemm_k + first + i]
                                 : b[(first + i) * shape.gemm_n + column];
    }
    a_tile[i * kTile + j] = from_a;
    b_tile[i * kTile + j] = from_b;
    sync_block();  // the squares are complete
    for (int k = 0; k < kTile; ++k) sum += a_tile[i * kTile + k] * b_tile[k * kTile + j];
    sync_block();  // nobody reads them any more
  }
  if (row < shape.gemm_m && column < shape.gemm_n) c[row * shape.gemm_n + column] = sum;
}

}  // namespace

void gemm(const GemmShape& shape, const float* a, const float* b, float* c, Stream stream) {
  const Grid grid = {(shape.gemm_m + kTile - 1) / kTile, (shape.gemm_n + kTile - 1) / kTile};
  launch("gemm", gemm_kernel, grid, kTile * kTile, 0, stream, shape, a, b, c);
}
