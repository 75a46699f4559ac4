#include "cpu/kernels/implicit_gemm.h"

#include "cpu/arena.h"
#include "cpu/kernels/register_tile.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"

namespace convsmith::cpu::CONVSMITH_ISA {
namespace {

constexpr int64_t kMaxBlockRows = 192;
constexpr int64_t kMaxBlockColumns = 512;  // keeps a block of C in L2 beside its rows of A
// Rows that are copied are copied for every block of columns: rather let C come from L3.
constexpr int64_t kMaxBlockColumnsOfCopies = 2048;
constexpr int64_t kFloatsPerLine = 16;  // of a cache line
// Row blocks are multiples of every tile height.
constexpr int64_t kRowGrain = 24;

struct Partition {
  int64_t row_blocks, rows_per_block, panel_blocks, panels_per_block;
};

// How rows and columns are cut changes no sum, so unlike other kernels' cuts this one may look at
// the number of workers.
Partition partition(const ImplicitGemm& p, int workers) {
  Partition cut;
  const int64_t panels = divide_up(p.gemm_n, kPanelColumns);
  const int64_t row_blocks = divide_up(p.gemm_m, kMaxBlockRows);
  cut.rows_per_block = round_up(divide_up(p.gemm_m, row_blocks), kRowGrain);
  cut.row_blocks = divide_up(p.gemm_m, cut.rows_per_block);
  int64_t panel_blocks =
      divide_up(p.gemm_n, p.copy_rows || p.gathers ? kMaxBlockColumnsOfCopies : kMaxBlockColumns);
  // Few rows: cut the columns finer, so that every core finds work. One core would only copy rows
  // more often.
  const int64_t wanted = workers == 1 ? 1 : 12;
  while (cut.row_blocks * panel_blocks < wanted && panel_blocks < panels) ++panel_blocks;
  cut.panels_per_block = divide_up(panels, panel_blocks);
  cut.panel_blocks = divide_up(panels, cut.panels_per_block);
  return cut;
}

// Splits the sum into blocks of at most kDepthBlock.
struct DepthLoop {
  int64_t taps_per_block, depth_per_block;
};
DepthLoop depth_loop(const ImplicitGemm& p) {
  if (p.depth >= kDepthBlock) {
    const int64_t blocks = divide_up(p.depth, kDepthBlock);
    return {1, divide_up(p.depth, blocks)};
  }
  const int64_t most = kDepthBlock / (p.depth > 0 ? p.depth : 1);
  const int64_t blocks = divide_up(p.taps, most);
  return {blocks > 0 ? divide_up(p.taps, blocks) : 1, p.depth};
}

// A tile reads whole multiples of its height: rows past the end repeat the last one.
void pad_rows(const float** rows, int64_t row_stride, int64_t taps, int64_t count) {
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t i = count; i < row_stride && i < count + kRowPadding; ++i) {
      rows[t * row_stride + i] = rows[t * row_stride + count - 1];
    }
  }
}

void copy_block_rows(const float** rows, int64_t row_stride, int64_t count, const DepthBlock& block,
                     float* copy) {
  const int64_t stride = gathered_stride(block.depth);
  for (int64_t t = 0; t < block.taps; ++t) {
    for (int64_t i = 0; i < count; ++i) {
      const float* from = rows[t * row_stride + i];
      float* to = copy + (t * count + i) * stride;
      int64_t d = 0;
      for (; d + kLanes <= block.depth; d += kLanes) store(to + d, load(from + d));
      if (d < block.depth)
        store_first(to + d, load_first(from + d, block.depth - d), block.depth - d);
      rows[t * row_stride + i] = to;
    }
  }
}

int64_t copy_floats_per_row(const DepthLoop& loop) {
  return loop.taps_per_block * gathered_stride(loop.depth_per_block);
}

// What one worker needs: pointers to rows of A and of C, and room for rows that are copied.
struct TaskMemory {
  int64_t row_stride, rows_bytes, outputs_bytes, floats_bytes;

  TaskMemory(const ImplicitGemm& p, const Partition& cut, const DepthLoop& loop) {
    row_stride = round_up(cut.rows_per_block + kRowPadding, kRowPadding);
    rows_bytes = row_stride * loop.taps_per_block * 8;
    outputs_bytes = row_stride * 8;
    const int64_t per_row = p.gathers || p.copy_rows ? copy_floats_per_row(loop) : 0;
    floats_bytes = cut.rows_per_block * per_row * 4;
  }
  int64_t bytes() const { return round_up(rows_bytes + outputs_bytes + floats_bytes, 4096); }
};

void run_task(const ImplicitGemm& p, const Partition& cut, int64_t task, char* memory) {
  const int64_t m0 = task / cut.panel_blocks * cut.rows_per_block;
  const int64_t count = minimum(cut.rows_per_block, p.gemm_m - m0);
  const int64_t first_column = task % cut.panel_blocks * cut.panels_per_block * kPanelColumns;
  const int64_t columns = minimum(cut.panels_per_block * kPanelColumns, p.gemm_n - first_column);
  const DepthLoop loop = depth_loop(p);
  const TaskMemory layout(p, cut, loop);
  const float** rows = reinterpret_cast<const float**>(memory);
  float** outputs = reinterpret_cast<float**>(memory + layout.rows_bytes);
  float* floats = reinterpret_cast<float*>(memory + layout.rows_bytes + layout.outputs_bytes);

  p.fill_outputs(p.context, m0, count, outputs);
  for (int64_t i = 0; i < count; ++i) outputs[i] += first_column;
  Epilogue epilogue = p.epilogue;
  if (epilogue.bias != nullptr) epilogue.bias += first_column;

  const bool finishes = epilogue.bias != nullptr || epilogue.residual != nullptr ||
                        epilogue.activation != Activation::identity;
  const int64_t gemm_k = p.taps * p.depth;
  int64_t k_done = 0;
  do {  // at least once: an empty sum still writes beta * C and the epilogue
    DepthBlock block{0, 0, 0, 0};
    if (gemm_k > 0) {
      block.tap = k_done / p.depth;
      block.offset = k_done % p.depth;
      block.taps = minimum(loop.taps_per_block, p.taps - block.tap);
      block.depth = minimum(loop.depth_per_block, p.depth - block.offset);
      p.fill_rows(p.context, m0, count, block, rows, layout.row_stride, floats);
      if (p.copy_rows) copy_block_rows(rows, layout.row_stride, count, block, floats);
      pad_rows(rows, layout.row_stride, block.taps, count);
    }
    const int64_t k_begin = k_done;
    k_done += block.taps * block.depth;
    multiply_block({rows, layout.row_stride, count, block.taps, block.depth,
                    p.packed_b + first_column * gemm_k, gemm_k, k_begin, columns, outputs, p.alpha,
                    k_begin == 0 ? p.beta : 1.0f,
                    k_done >= gemm_k && finishes ? &epilogue : nullptr, p.c_origin});
  } while (k_done < gemm_k);

  if (runs_over_finished_block(epilogue.activation)) {
    for (int64_t i = 0; i < count; ++i) {
      activation_forward(epilogue.activation, epilogue.negative_slope, columns, outputs[i],
                         outputs[i]);
    }
  }
}

}  // namespace

void multiply_block(const BlockProduct& block) {
  for (int64_t column = 0; column < block.columns; column += kPanelColumns) {
    const int64_t columns = minimum(kPanelColumns, block.columns - column);
    const int64_t vectors = divide_up(columns, kLanes);
    const TileKernel& kernel = kTiles[vectors - 1];
    Tile tile{block.rows,
              block.row_stride,
              block.taps,
              block.depth,
              block.packed_b + column * block.gemm_k + block.k_begin * vectors * kLanes,
              block.packed_b,
              0,
              block.outputs,
              column,
              columns,
              0,
              block.alpha,
              block.beta,
              block.epilogue,
              block.c_origin};
    // While this panel is used, the next one comes into L2 a little with every tile: of this block,
    // or after its last panel the first one of the next block.
    const int64_t block_depth = block.taps * block.depth, k_end = block.k_begin + block_depth;
    const float* upcoming = nullptr;
    if (column + 2 * kPanelColumns <= block.columns) {
      upcoming = tile.b + kPanelColumns * block.gemm_k;
    } else if (k_end < block.gemm_k) {
      upcoming = block.packed_b + k_end * minimum(block.columns, kPanelColumns);
    }
    if (upcoming != nullptr) {
      const int64_t tiles = divide_up(block.count, kernel.rows);
      tile.upcoming = upcoming;
      tile.upcoming_step = minimum(divide_up(4 * kPanelColumns, tiles), kFloatsPerLine);
    }
    for (int64_t i = 0; i < block.count; i += kernel.rows) {
      tile.rows = block.rows + i;
      tile.outputs = block.outputs + i;
      tile.count = minimum(kernel.rows, block.count - i);
      kernel.compute(tile);
      tile.upcoming += block_depth / 4 * tile.upcoming_step;
    }
  }
}

void implicit_gemm(const ImplicitGemm* problems, int64_t count) {
  // Problems of one call (filter phases, groups) share their geometry up to a row or two.
  const int workers = num_threads();
  int64_t tasks = 0, bytes = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (problems[i].gemm_m == 0 || problems[i].gemm_n == 0) continue;
    const Partition cut = partition(problems[i], workers);
    tasks += cut.row_blocks * cut.panel_blocks;
    const int64_t needed = TaskMemory(problems[i], cut, depth_loop(problems[i])).bytes();
    bytes = needed > bytes ? needed : bytes;
  }
  if (tasks == 0) return;
  struct Job {
    int32_t problem, task;
  };
  Workspace job_list(static_cast<size_t>(tasks) * sizeof(Job));
  Job* jobs = static_cast<Job*>(job_list.data);
  int64_t filled = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (problems[i].gemm_m == 0 || problems[i].gemm_n == 0) continue;
    const Partition cut = partition(problems[i], workers);
    for (int64_t task = 0; task < cut.row_blocks * cut.panel_blocks; ++task) {
      jobs[filled++] = {static_cast<int32_t>(i), static_cast<int32_t>(task)};
    }
  }
  Workspace memory(static_cast<size_t>(bytes) * workers);
  char* const base = static_cast<char*>(memory.data);
  parallel_for(tasks, workers, [&](int64_t job, int worker) {
    const ImplicitGemm& p = problems[jobs[job].problem];
    run_task(p, partition(p, workers), jobs[job].task, base + worker * bytes);
  });
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
