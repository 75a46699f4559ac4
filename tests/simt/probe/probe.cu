// Asks the executor what its tensor-core operations and number formats do, without assuming any
// layout: the answers are compared elsewhere with tables that come from other sources.
//   probe mma bfloat16|float16|tf32   triples "a b c" of elements, each lane * 8 + element, for
//                                     which one in a times one in b is one in c
//   probe ldmatrix x2|x4 0|1          the matrix * 64 + row * 8 + column that each lane receives
//   probe numbers                     float32 from standard input; half, bfloat16, TF32 bits and
//                                     the first two as floats again to standard output
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cuda/device.cuh"

namespace convsmith::cuda {
namespace {

// One thread holds element e of its fragment: the register and, of 16-bit elements, the half.
template <class T>
__global__ void one_hot_kernel(int a_lane, int a_element, int b_lane, int b_element, float* c_out) {
  uint32_t a[4] = {};
  uint32_t b[2] = {};
  float c[4] = {};
  if constexpr (sizeof(T) == 2) {
    const uint32_t one = from_float<T>(1.0f).bits;
    if (lane_id() == a_lane) a[a_element / 2] = one << 16 * (a_element % 2);
    if (lane_id() == b_lane) b[b_element / 2] = one << 16 * (b_element % 2);
    mma_16x8x16(c, a, b, T{});
  } else {
    if (lane_id() == a_lane) a[a_element] = to_tf32(1.0f);
    if (lane_id() == b_lane) b[b_element] = to_tf32(1.0f);
    mma_16x8x8_tf32(c, a, b);
  }
  for (int i = 0; i < 4; ++i) c_out[lane_id() * 4 + i] = c[i];
}

template <class T>
void probe_mma() {
  constexpr int kInA = sizeof(T) == 2 ? 8 : 4;
  constexpr int kInB = sizeof(T) == 2 ? 4 : 2;
  std::vector<float> c(128);
  for (int a = 0; a < 32 * kInA; ++a) {
    for (int b = 0; b < 32 * kInB; ++b) {
      launch("probe", one_hot_kernel<T>, Grid{1}, 32, 0, nullptr, a / kInA, a % kInA, b / kInB,
             b % kInB, c.data());
      for (int i = 0; i < 128; ++i) {
        if (c[static_cast<size_t>(i)] == 0.0f) continue;
        std::printf("%d %d %d\n", a / kInA * 8 + a % kInA, b / kInB * 8 + b % kInB,
                    i / 4 * 8 + i % 4);
      }
    }
  }
}

__global__ void load_matrix_kernel(int matrices, bool transposed, uint32_t* out) {
  CONVSMITH_SHARED(uint16_t, tile, 4 * 8 * 8);
  for (int i = lane_id(); i < 256; i += 32) tile[i] = static_cast<uint16_t>(i);
  sync_warp();
  const uint16_t* row = tile + lane_id() * 8;
  uint32_t four[4] = {};
  uint32_t two[2] = {};
  if (matrices == 4 && transposed) load_matrix_x4_transposed(four, row);
  if (matrices == 4 && !transposed) load_matrix_x4(four, row);
  if (matrices == 2 && transposed) load_matrix_x2_transposed(two, row);
  if (matrices == 2 && !transposed) load_matrix_x2(two, row);
  for (int i = 0; i < matrices; ++i) {
    out[lane_id() * matrices + i] = matrices == 4 ? four[i] : two[i];
  }
}

void probe_load_matrix(int matrices, bool transposed) {
  std::vector<uint32_t> out(static_cast<size_t>(32 * matrices));
  launch("probe", load_matrix_kernel, Grid{1}, 32, 0, nullptr, matrices, transposed, out.data());
  for (const uint32_t pair : out) std::printf("%u %u\n", pair & 0xFFFFu, pair >> 16);
}

void probe_numbers() {
  float value;
  while (std::fread(&value, sizeof(value), 1, stdin) == 1) {
    const float16 half = from_float<float16>(value);
    const bfloat16 brain = from_float<bfloat16>(value);
    const uint32_t bits[5] = {half.bits, brain.bits, to_tf32(value), float_bits(to_float(half)),
                              float_bits(to_float(brain))};
    std::fwrite(bits, sizeof(bits), 1, stdout);
  }
}

}  // namespace
}  // namespace convsmith::cuda

int main(int argc, char** argv) {
  using namespace convsmith::cuda;
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments == std::vector<std::string>{"numbers"}) {
    probe_numbers();
  } else if (argc == 3 && arguments[0] == "mma") {
    if (arguments[1] == "bfloat16") probe_mma<bfloat16>();
    if (arguments[1] == "float16") probe_mma<float16>();
    if (arguments[1] == "tf32") probe_mma<float>();
  } else if (argc == 4 && arguments[0] == "ldmatrix") {
    probe_load_matrix(arguments[1] == "x4" ? 4 : 2, arguments[2] == "1");
  } else {
    std::fprintf(stderr, "probe: wanted mma, ldmatrix or numbers\n");
    return 2;
  }
  return 0;
}
