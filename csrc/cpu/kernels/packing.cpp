// Packing of B into panels, and the transposes that it needs.
#include "cpu/kernels/implicit_gemm.h"
#include "cpu/parallel.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

// kLanes x kLanes in registers: log2(kLanes) rounds exchange off-diagonal blocks of growing size.
template <int Distance>
CONVSMITH_INLINE void exchange(Vec (&r)[kLanes]) {
  IntVec low, high;
  for (int lane = 0; lane < kLanes; ++lane) {
    low[lane] = lane & Distance ? kLanes + lane - Distance : lane;
    high[lane] = lane & Distance ? kLanes + lane : lane + Distance;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & Distance) continue;
    const Vec a = r[i], b = r[i + Distance];
    r[i] = __builtin_shuffle(a, b, low);
    r[i + Distance] = __builtin_shuffle(a, b, high);
  }
}

CONVSMITH_INLINE void transpose_registers(Vec (&r)[kLanes]) {
  exchange<1>(r);
  exchange<2>(r);
  if constexpr (kLanes > 4) exchange<4>(r);
  if constexpr (kLanes > 8) exchange<8>(r);
}

// target[k * target_stride + n] = source[n * stride_n + k] for n < kLanes (zero from n = count on).
void transpose_strip(const float* source, int64_t stride_n, int64_t count, int64_t depth,
                     float* target, int64_t target_stride) {
  for (int64_t k = 0; k < depth; k += kLanes) {
    const int64_t columns = minimum(kLanes, depth - k);
    Vec r[kLanes];
#pragma GCC unroll 16
    for (int n = 0; n < kLanes; ++n) {
      r[n] = n >= count          ? Vec{}
             : columns == kLanes ? load(source + n * stride_n + k)
                                 : load_first(source + n * stride_n + k, columns);
    }
    transpose_registers(r);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      if (i < columns) store(target + (k + i) * target_stride, r[i]);
    }
  }
}

}  // namespace

int64_t packed_floats(int64_t gemm_k, int64_t gemm_n) { return round_up(gemm_n, kLanes) * gemm_k; }

void pack_transposed(const float* source, int64_t stride_n, int64_t gemm_k, int64_t gemm_n,
                     float* packed) {
  // A step of a panel is small enough that its lines stay in L1 until all strips have filled them.
  constexpr int64_t kDepthStep = 64;
  const int64_t panels = divide_up(gemm_n, kPanelColumns);
  const int64_t steps = divide_up(gemm_k, kDepthStep);
  parallel_ranges(panels * steps, 8, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t panel = item / steps * kPanelColumns, k0 = item % steps * kDepthStep;
      const int64_t columns = minimum(kPanelColumns, gemm_n - panel);
      const int64_t width = round_up(columns, kLanes);
      for (int64_t n = 0; n < columns; n += kLanes) {
        transpose_strip(source + (panel + n) * stride_n + k0, stride_n,
                        minimum(kLanes, columns - n), minimum(kDepthStep, gemm_k - k0),
                        packed + panel * gemm_k + k0 * width + n, width);
      }
    }
  });
}

void pack_rows(SourceRow source_row, const void* context, int64_t gemm_k, int64_t gemm_n,
               float* packed) {
  // A step is few enough rows to read along all of them at once: their pages and the lines that
  // two panels share are met once, and every panel is written a whole stretch at a time.
  constexpr int64_t kRowsPerStep = 16;
  constexpr int64_t kFloatsPerTask = 32768;
  const int64_t steps = divide_up(gemm_k, kRowsPerStep);
  const int64_t grain = maximum(kFloatsPerTask / (kRowsPerStep * gemm_n + 1), 1);
  parallel_ranges(steps, grain, [&](int64_t begin, int64_t end) {
    for (int64_t step = begin; step < end; ++step) {
      const int64_t k0 = step * kRowsPerStep, k1 = minimum(k0 + kRowsPerStep, gemm_k);
      for (int64_t panel = 0; panel < gemm_n; panel += kPanelColumns) {
        const int64_t columns = minimum(kPanelColumns, gemm_n - panel);
        const int64_t width = round_up(columns, kLanes);
        float* to = packed + panel * gemm_k + k0 * width;
        for (int64_t k = k0; k < k1; ++k, to += width) {
          const float* row = source_row(context, k) + panel;
          for (int64_t n = 0; n < columns; n += kLanes) {
            const int64_t lanes = minimum(kLanes, columns - n);
            store(to + n, lanes == kLanes ? load(row + n) : load_first(row + n, lanes));
          }
        }
      }
    }
  });
}

void transpose(const float* source, int64_t source_stride, int64_t depth, int64_t count,
               float* target, int64_t target_stride) {
  // Strips of kLanes source rows; stores may run past depth within the target's padded stride.
  for (int64_t k = 0; k < depth; k += kLanes) {
    const int64_t rows = minimum(kLanes, depth - k);
    for (int64_t i = 0; i < count; i += kLanes) {
      const int64_t columns = minimum(kLanes, count - i);
      Vec r[kLanes];
#pragma GCC unroll 16
      for (int n = 0; n < kLanes; ++n) {
        r[n] = n >= rows           ? Vec{}
               : columns == kLanes ? load(source + (k + n) * source_stride + i)
                                   : load_first(source + (k + n) * source_stride + i, columns);
      }
      transpose_registers(r);
#pragma GCC unroll 16
      for (int c = 0; c < kLanes; ++c) {
        if (c < columns) store(target + (i + c) * target_stride + k, r[c]);
      }
    }
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
