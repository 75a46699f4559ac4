// dbias[c] = sum over rows of dy[row, c]
//
// One stream over dy: rows are cut into blocks whose sums stay in L1, then the blocks are added in
// order, in double.
#include "cpu/arena.h"
#include "cpu/kernels_of_isa.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

namespace convsmith::cpu::CONVSMITH_ISA {

void conv2d_backward_bias(int64_t rows, int64_t channels, const float* dy, float* dbias) {
  if (channels == 0) return;
  constexpr int64_t kMinRows = 64, kMaxBlocks = 64;
  int64_t blocks = rows / kMinRows;
  blocks = blocks < 1 ? 1 : (blocks > kMaxBlocks ? kMaxBlocks : blocks);
  const int64_t rows_per_block = (rows + blocks - 1) / blocks;
  const int64_t stride = (channels + kLanes - 1) / kLanes * kLanes;
  Workspace sums(static_cast<size_t>(blocks * stride) * sizeof(float));
  parallel_for(blocks, num_threads(), [&](int64_t block, int) {
    float* sum = sums.floats + block * stride;
    for (int64_t c = 0; c < stride; c += kLanes) store(sum + c, Vec{});
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t row = block * rows_per_block; row < end; ++row) {
      const float* from = dy + row * channels;
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) store(sum + c, load(sum + c) + load(from + c));
      if (c < channels) store(sum + c, load(sum + c) + load_first(from + c, channels - c));
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    double total = 0.0;
    for (int64_t block = 0; block < blocks; ++block) total += sums.floats[block * stride + c];
    dbias[c] = static_cast<float>(total);
  }
}

}  // namespace convsmith::cpu::CONVSMITH_ISA
