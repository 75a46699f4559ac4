// ldmatrix and mma, from the fragment layouts of the PTX ISA (sections "ldmatrix" and "Matrix
// Fragments for mma.m16n8k16 / m16n8k8").
#include "simt/machine.h"
#include "simt/numbers.h"

namespace convsmith::simt {
namespace {

struct MatrixSlot {
  const MatrixRow* row;
  uint32_t* r;
  int matrices;
  bool transposed;
};

void compute_load_matrix(void* const* slots) {
  const auto slot_of = [slots](int lane) { return static_cast<MatrixSlot*>(slots[lane]); };
  const auto element = [&](int matrix, int row, int column) -> uint32_t {
    return slot_of(8 * matrix + row)->row->v[column];
  };
  for (int lane = 0; lane < kWarp; ++lane) {
    const MatrixSlot* slot = slot_of(lane);
    const int row = lane / 4;
    const int pair = 2 * (lane % 4);
    for (int j = 0; j < slot->matrices; ++j) {
      const uint32_t low = slot->transposed ? element(j, pair, row) : element(j, row, pair);
      const uint32_t high =
          slot->transposed ? element(j, pair + 1, row) : element(j, row, pair + 1);
      slot->r[j] = low | high << 16;
    }
  }
}

struct MmaSlot {
  Mma kind;
  float* c;
  const uint32_t* a;
  const uint32_t* b;
};

constexpr int kRows = 16;
constexpr int kColumns = 8;

// The product of two dense matrices in float, one k after the other, into the fragments of c.
template <int Depth>
void multiply(void* const* slots, const float (&a)[kRows][Depth],
              const float (&b)[Depth][kColumns]) {
  for (int lane = 0; lane < kWarp; ++lane) {
    float* c = static_cast<MmaSlot*>(slots[lane])->c;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * (i / 2);
      const int column = 2 * (lane % 4) + i % 2;
      float sum = 0.0f;
      for (int k = 0; k < Depth; ++k) sum += a[row][k] * b[k][column];
      c[i] += sum;
    }
  }
}

float half_of(uint32_t pair, int which, Mma kind) {
  const auto bits = static_cast<uint16_t>(which == 0 ? pair & 0xFFFFu : pair >> 16);
  return kind == Mma::float16_16x8x16 ? half_to_float(bits) : brain_to_float(bits);
}

void compute_mma_16(void* const* slots) {
  float a[kRows][16];
  float b[16][kColumns];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto* slot = static_cast<MmaSlot*>(slots[lane]);
    const int group = lane / 4;
    const int pair = 2 * (lane % 4);
    for (int which = 0; which < 2; ++which) {
      for (int i = 0; i < 4; ++i) {
        a[group + 8 * (i % 2)][pair + 8 * (i / 2) + which] = half_of(slot->a[i], which, slot->kind);
      }
      for (int i = 0; i < 2; ++i) {
        b[pair + 8 * i + which][group] = half_of(slot->b[i], which, slot->kind);
      }
    }
  }
  multiply(slots, a, b);
}

// The hardware reads the upper 19 bits of each element.
float tf32_of(uint32_t bits) { return float_of(bits & 0xFFFFE000u); }

void compute_mma_tf32(void* const* slots) {
  float a[kRows][8];
  float b[8][kColumns];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto* slot = static_cast<MmaSlot*>(slots[lane]);
    const int group = lane / 4;
    const int step = lane % 4;
    for (int i = 0; i < 4; ++i) a[group + 8 * (i % 2)][step + 4 * (i / 2)] = tf32_of(slot->a[i]);
    for (int i = 0; i < 2; ++i) b[step + 4 * i][group] = tf32_of(slot->b[i]);
  }
  multiply(slots, a, b);
}

}  // namespace

void load_matrix(uint32_t* r, int matrices, const MatrixRow& row, bool transposed,
                 const Site& site) {
  MatrixSlot slot{&row, r, matrices, transposed};
  const char* name = matrices == 4 ? (transposed ? "load_matrix_x4_transposed" : "load_matrix_x4")
                                   : (transposed ? "load_matrix_x2_transposed" : "load_matrix_x2");
  warp_operation(name, 0xffffffffu, &slot, compute_load_matrix, site);
}

void mma(Mma kind, float* c, const uint32_t* a, const uint32_t* b, const Site& site) {
  MmaSlot slot{kind, c, a, b};
  if (kind == Mma::tf32_16x8x8) {
    warp_operation("mma_16x8x8_tf32", 0xffffffffu, &slot, compute_mma_tf32, site);
  } else {
    warp_operation("mma_16x8x16", 0xffffffffu, &slot, compute_mma_16, site);
  }
}

}  // namespace convsmith::simt
