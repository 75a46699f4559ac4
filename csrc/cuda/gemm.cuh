// The product of stored matrices, batched over groups: gemm itself and 1x1 convolutions.
#pragma once

#include "cuda/gemm_output.cuh"
#include "cuda/kernels.cuh"
#include "cuda/operand_source.cuh"

namespace convsmith::cuda {

// One operand: element (line, depth) at data[line * stride + depth] if depth is contiguous, else at
// data[depth * stride + line]. A's lines are the rows of C, B's its columns.
template <class T>
struct StoredMatrix {
  const T* data;
  int64_t stride;
  int64_t group_stride;
  bool depth_contiguous;
};

// Calls body(source_a, source_b) with the pair of sources that fits.
template <class T, class Body>
void with_matrix_sources(const GemmProblem<T>& problem, const StoredMatrix<T>& a,
                         const StoredMatrix<T>& b, Body&& body) {
  const auto with_b = [&](const auto& source_a) {
    if (b.depth_contiguous) {
      body(source_a, MatrixSource<T, true>{b.data, b.group_stride, problem.gemm_n, problem.gemm_k,
                                           b.stride, 0});
    } else {
      body(source_a, MatrixSource<T, false>{b.data, b.group_stride, problem.gemm_n, problem.gemm_k,
                                            b.stride, 0});
    }
  };
  if (a.depth_contiguous) {
    with_b(
        MatrixSource<T, true>{a.data, a.group_stride, problem.gemm_m, problem.gemm_k, a.stride, 0});
  } else {
    with_b(MatrixSource<T, false>{a.data, a.group_stride, problem.gemm_m, problem.gemm_k, a.stride,
                                  0});
  }
}

// Whether packs of V may be read from this operand.
template <int V, class T>
bool packs_fit(const StoredMatrix<T>& matrix, int64_t lines, int64_t depth) {
  const int64_t contiguous = matrix.depth_contiguous ? depth : lines;
  return contiguous % V == 0 && matrix.stride % V == 0 && matrix.group_stride % V == 0 &&
         reinterpret_cast<uintptr_t>(matrix.data) % (V * sizeof(T)) == 0;
}

// problem.output is filled in by the caller. Algorithm::automatic: tensor cores for 16-bit storage
// where rows are multiples of 16 bytes, else the direct kernel.
template <class T>
void multiply_matrices(const char* op, const GemmProblem<T>& problem, const StoredMatrix<T>& a,
                       const StoredMatrix<T>& b, Algorithm algorithm, Stream stream);

// The direct and the tensor-core half of it: gemm.cu and gemm_tensor_core.cu.
template <class T>
void multiply_directly(const char* op, const GemmProblem<T>& problem, const StoredMatrix<T>& a,
                       const StoredMatrix<T>& b, Stream stream);
template <class T>
void multiply_on_tensor_cores(const char* op, const GemmProblem<T>& problem,
                              const StoredMatrix<T>& a, const StoredMatrix<T>& b, Stream stream);

}  // namespace convsmith::cuda
