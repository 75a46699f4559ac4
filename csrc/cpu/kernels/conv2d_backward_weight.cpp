// dweight[oc, (kh, kw, ic)] = sum_p dy[p, oc] * window(p)[(kh, kw, ic)],  p = (n, oh, ow)
//
// A GEMM whose sum runs over all output pixels. Pixels come in chunks: dy is transposed into rows
// of A (one per output channel), and panel by panel the windows of the chunk are gathered into B,
// which is then used from L1 by all output channels. A small dweight gives too few tiles for the
// cores: then the pixels are split as well, each split sums into memory of its own, and the splits
// are added in a fixed order. The cut depends on the shape alone, so the bits do not depend on
// the number of threads.
#include "cpu/arena.h"
#include "cpu/kernels/conv2d_depthwise.h"
#include "cpu/kernels/conv2d_window.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kChunkPixels = 256;
constexpr int64_t kMaxBlockRows = 384;  // output channels: 384 x 256 floats of dy stay in L2
constexpr int64_t kMaxBlockPanels = 16;
constexpr int64_t kWantedTasks = 12;
constexpr int64_t kMaxSplits = 16;

struct Partition {
  int64_t rows_per_block, row_blocks, panels_per_block, panel_blocks;
  int64_t pixels_per_split, splits;
};

Partition partition(int64_t out_channels, int64_t gemm_n, int64_t pixels, int64_t groups) {
  Partition cut;
  const int64_t panels = divide_up(gemm_n, kPanelColumns);
  cut.rows_per_block =
      divide_up(divide_up(out_channels, divide_up(out_channels, kMaxBlockRows)), 24) * 24;
  cut.row_blocks = divide_up(out_channels, cut.rows_per_block);
  const int64_t most_blocks = cut.row_blocks * panels * groups;
  const int64_t chunks = divide_up(pixels, kChunkPixels);
  int64_t splits = most_blocks >= kWantedTasks ? 1 : divide_up(kWantedTasks, most_blocks);
  splits = minimum(splits, minimum(chunks, kMaxSplits));
  cut.pixels_per_split = divide_up(chunks, splits) * kChunkPixels;
  cut.splits = divide_up(pixels, cut.pixels_per_split);
  int64_t panel_blocks = divide_up(panels, kMaxBlockPanels);
  while (cut.row_blocks * groups * cut.splits * panel_blocks < kWantedTasks &&
         panel_blocks < panels) {
    ++panel_blocks;
  }
  cut.panels_per_block = divide_up(panels, panel_blocks);
  cut.panel_blocks = divide_up(panels, cut.panels_per_block);
  return cut;
}

struct Problem {
  const Conv2dShape* shape;
  const WindowRuns* runs;  // one per group
  const float* dy;
  int64_t channels, out_channels, gemm_n, pixels;
};

// Sums pixels [first, last) into target, rows x columns of one block, row stride gemm_n.
void sum_block(const Problem& p, const Partition& cut, int64_t group, int64_t row_block,
               int64_t panel_block, int64_t first, int64_t last, float* target, char* memory) {
  const int64_t row0 = row_block * cut.rows_per_block;
  const int64_t rows = minimum(cut.rows_per_block, p.out_channels - row0);
  const int64_t column0 = panel_block * cut.panels_per_block * kPanelColumns;
  const int64_t columns = minimum(cut.panels_per_block * kPanelColumns, p.gemm_n - column0);
  const WindowRuns& runs = p.runs[group];

  const int64_t a_stride = gathered_stride(kChunkPixels);
  float* a = reinterpret_cast<float*>(memory);
  float* b = a + cut.rows_per_block * a_stride;
  float** outputs = reinterpret_cast<float**>(b + (kChunkPixels + 1) * kPanelColumns);
  const float** a_rows = const_cast<const float**>(outputs + cut.rows_per_block + kRowPadding);
  for (int64_t i = 0; i < rows; ++i) a_rows[i] = a + i * a_stride;
  for (int64_t i = rows; i < rows + kRowPadding; ++i) a_rows[i] = a_rows[rows - 1];

  for (int64_t chunk = first; chunk < last; chunk += kChunkPixels) {
    const int64_t pixels = minimum(kChunkPixels, last - chunk);
    transpose(p.dy + chunk * p.shape->out_c + group * p.out_channels + row0, p.shape->out_c, pixels,
              rows, a, a_stride);
    for (int64_t column = 0; column < columns; column += kPanelColumns) {
      const int64_t panel = minimum(kPanelColumns, columns - column);
      const int64_t width = divide_up(panel, kLanes) * kLanes;
      gather_runs(runs, chunk, pixels, column0 + column, column0 + column + panel, b, width);
      for (int64_t i = 0; i < rows; ++i) {
        outputs[i] = target + (row0 + i) * p.gemm_n + column0 + column;
      }
      multiply_block({a_rows, cut.rows_per_block + kRowPadding, rows, 1, pixels, b, pixels, 0,
                      panel, outputs, 1.0f, chunk == first ? 0.0f : 1.0f, nullptr, nullptr});
    }
  }
}

}  // namespace

void conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dweight) {
  const int64_t size = s.out_c * s.kernel_h * s.kernel_w * (s.in_c / s.groups);
  if (s.batch == 0) {
    for (int64_t i = 0; i < size; ++i) dweight[i] = 0.0f;
    return;
  }
  if (is_depthwise(s)) return depthwise_backward_weight(s, x, dy, dweight);

  Problem p{&s, nullptr, dy, s.in_c / s.groups, s.out_c / s.groups, 0, s.batch * s.out_h * s.out_w};
  const int64_t taps = s.kernel_h * s.kernel_w;
  p.gemm_n = taps * p.channels;
  const bool merges_rows = s.groups == 1 && s.dilation_w == 1;
  const int64_t run_count = merges_rows ? s.kernel_h : taps;
  Workspace memory(static_cast<size_t>(2 * taps) * sizeof(int64_t) +
                   static_cast<size_t>(s.groups) * sizeof(WindowRuns));
  WindowRuns* runs = static_cast<WindowRuns*>(memory.data);
  int64_t* tap_h = reinterpret_cast<int64_t*>(runs + s.groups);
  int64_t* tap_w = tap_h + taps;
  for (int64_t run = 0; run < run_count; ++run) {
    const int64_t tap = run * (taps / run_count);
    tap_h[run] = tap / s.kernel_w * s.dilation_h - s.pad_top;
    tap_w[run] = tap % s.kernel_w * s.dilation_w - s.pad_left;
  }
  for (int64_t g = 0; g < s.groups; ++g) {
    runs[g] = {{x + g * p.channels, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.stride_h,
                s.stride_w, tap_h, tap_w, nullptr, 0, 0, 0, 0, 0, 0, 0},
               run_count,
               taps / run_count,
               p.channels};
  }
  p.runs = runs;

  const Partition cut = partition(p.out_channels, p.gemm_n, p.pixels, s.groups);
  Workspace partial(cut.splits > 1 ? static_cast<size_t>(cut.splits * size) * sizeof(float) : 0);
  float* const sums = cut.splits > 1 ? partial.floats : dweight;
  const int64_t worker_floats =
      cut.rows_per_block * gathered_stride(kChunkPixels) + (kChunkPixels + 1) * kPanelColumns;
  const int64_t worker_bytes =
      divide_up(worker_floats * 4 + (cut.rows_per_block + kRowPadding) * 16, 4096) * 4096;
  const int workers = num_threads();
  Workspace scratch(static_cast<size_t>(worker_bytes) * workers);
  const int64_t blocks = s.groups * cut.row_blocks * cut.panel_blocks;
  parallel_for(blocks * cut.splits, workers, [&](int64_t task, int worker) {
    const int64_t split = task / blocks, block = task % blocks;
    const int64_t group = block / (cut.row_blocks * cut.panel_blocks);
    const int64_t first = split * cut.pixels_per_split;
    float* target = sums + split * size + group * p.out_channels * p.gemm_n;
    sum_block(p, cut, group, block / cut.panel_blocks % cut.row_blocks, block % cut.panel_blocks,
              first, minimum(first + cut.pixels_per_split, p.pixels), target,
              static_cast<char*>(scratch.data) + worker * worker_bytes);
  });
  if (cut.splits == 1) return;
  parallel_ranges(size, 16384, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kLanes) {
      const int64_t lanes = minimum(kLanes, end - i);
      Vec sum = load_first(sums + i, lanes);
      for (int64_t split = 1; split < cut.splits; ++split) {
        sum += load_first(sums + split * size + i, lanes);
      }
      store_first(dweight + i, sum, lanes);
    }
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
