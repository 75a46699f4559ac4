// The engine under GEMM and every dense convolution:
//
//   C[m, n] = activation(alpha * sum_{t < taps} sum_{d < depth} A(m, t)[d] * B[t * depth + d, n]
//                        + beta * C[m, n] + bias[n] + residual[m, n])
//
// A is never materialised: a row source says where row m's `depth` numbers of tap t lie (a GEMM has
// one tap; a convolution one a filter position, pointing into the image or at zeros). B is packed
// into panels of kPanelColumns columns, so that a register tile streams it with full vectors.
//
// Loops, outermost first: blocks of rows and of panels (the parallel tasks),
// blocks of k, panels, register tiles of R rows x V vectors. A block of A stays in L2 for all
// panels, a panel of B for all tiles of a block; from L2 both come as fast as they are multiplied.
// From L3 they do not, so while one panel is used the next one is asked for, line by line.
// Goto, van de Geijn: Anatomy of High-Performance Matrix Multiplication, 2008, for the blocking;
// Dukhan: The Indirect Convolution Algorithm, 2019, for the row pointers.
#pragma once

#include <cstdint>

#include "cpu/kernels/integers.h"
#include "cpu/simd.h"
#include "shapes.h"

namespace convsmith::cpu::CONVSMITH_ISA {

// Register tiles. AVX-512 has 32 registers: 6 x 4 vectors of C, 4 of B, A broadcast from memory.
// AVX2 and SSE have 16: 6 x 2 of C, 2 of B, 1 for A. More rows would need more row pointers than
// there are general registers.
#if defined(__AVX512F__)
constexpr int kPanelVectors = 4;
#else
constexpr int kPanelVectors = 2;
#endif
// Of the sum, between one visit of C and the next: a tile starts and ends at a cost that this
// spreads. Twice as much is no faster, and the B panel has to leave room for A in L2.
constexpr int64_t kDepthBlock = 512;
constexpr int64_t kPanelColumns = kPanelVectors * kLanes;

// A part of the sum: taps [tap, tap + taps), elements [offset, offset + depth) of each.
struct DepthBlock {
  int64_t tap, taps, offset, depth;
};

// Fills rows[t * row_stride + i], t < block.taps, with the address of element block.offset of tap
// block.tap + t of row m0 + i. A source that has to gather does so into scratch.
using FillRows = void (*)(const void* context, int64_t m0, int64_t count, const DepthBlock& block,
                          const float** rows, int64_t row_stride, float* scratch);
// Fills outputs[i] with the address of C[m0 + i, 0].
using FillOutputs = void (*)(const void* context, int64_t m0, int64_t count, float** outputs);

// Copied rows lie this far apart: padded to vectors, and one more so that rows do not alias.
CONVSMITH_INLINE int64_t gathered_stride(int64_t depth) { return round_up(depth, kLanes) + kLanes; }
// Whether rows this many floats apart fall into the same few sets of a 48 KB cache.
CONVSMITH_INLINE bool rows_alias(int64_t stride) { return stride % 512 == 0; }

struct ImplicitGemm {
  int64_t gemm_m, gemm_n, taps, depth;
  FillRows fill_rows;
  FillOutputs fill_outputs;
  const void* context;
  bool gathers;    // fill_rows copies its rows into scratch, gathered_stride(block.depth) apart
  bool copy_rows;  // the engine copies the rows: for strides that alias in the cache
  const float* packed_b;
  float alpha, beta;
  Epilogue epilogue;      // bias already offset to column 0
  const float* c_origin;  // residual[m, n] lies as far from epilogue.residual as C[m, n] from here
};

// Runs all problems as one set of tasks.
void implicit_gemm(const ImplicitGemm* problems, int64_t count);

// One block on the calling thread: rows [0, count) x columns [0, columns).
// rows[t * row_stride + i] as FillRows leaves them; row_stride >= count rounded up to kRowPadding.
constexpr int64_t kRowPadding = 16;
struct BlockProduct {
  const float* const* rows;
  int64_t row_stride, count;
  int64_t taps, depth;
  const float* packed_b;    // the whole first panel
  int64_t gemm_k, k_begin;  // length of the packed panels, and where this block starts in them
  int64_t columns;
  float* const* outputs;  // of column 0
  float alpha, beta;
  const Epilogue* epilogue;  // null: none, or not the last depth block
  const float* c_origin;
};
void multiply_block(const BlockProduct& block);

// Packing. A panel holds [k][kPanelColumns], the last one [k][columns rounded up to vectors].
int64_t packed_floats(int64_t gemm_k, int64_t gemm_n);
// B[k, n] = source[n * stride_n + k]: weights, transposed matrices.
void pack_transposed(const float* source, int64_t stride_n, int64_t gemm_k, int64_t gemm_n,
                     float* packed);
// B[k, n] = source_row(k)[n].
using SourceRow = const float* (*)(const void* context, int64_t k);
void pack_rows(SourceRow source_row, const void* context, int64_t gemm_k, int64_t gemm_n,
               float* packed);
// target[i * target_stride + k] = source[k * source_stride + i], i < count, k < depth.
void transpose(const float* source, int64_t source_stride, int64_t depth, int64_t count,
               float* target, int64_t target_stride);

}  // namespace convsmith::cpu::CONVSMITH_ISA
