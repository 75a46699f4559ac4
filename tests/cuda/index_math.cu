// The index arithmetic of the GEMM kernels, run through exhaustively on small sizes and at the ends
// of the range, against plain loops. Prints the line of each check that fails, then how many did.
#include "cuda/index_math.cuh"

#include <cstdio>
#include <set>
#include <utility>
#include <vector>

#include "cuda/tile_table.h"

using namespace convsmith::cuda;

namespace {

int64_t wrong = 0;

void check_at(bool right, int line) {
  if (!right && ++wrong <= 20) std::printf("line %d\n", line);
}
#define CHECK(condition) check_at(condition, __LINE__)

bool same(Digits a, Digits b) { return a.high == b.high && a.mid == b.mid && a.low == b.low; }

void digits() {
  for (int32_t mid = 1; mid <= 7; ++mid) {
    for (int32_t low = 1; low <= 7; ++low) {
      const Radix radix{mid, low};
      for (int64_t value = 0; value < 150; ++value) {
        const Digits d = to_digits(value, radix);
        CHECK((static_cast<int64_t>(d.high) * mid + d.mid) * low + d.low == value);
        CHECK(d.mid >= 0 && d.mid < mid && d.low >= 0 && d.low < low);
        for (int64_t step = 0; step < 70; ++step) {
          CHECK(same(advanced(d, to_digits(step, radix), radix), to_digits(value + step, radix)));
        }
      }
    }
  }
  const int64_t last = INT32_MAX;  // sums of two digits pass 2^31
  for (const Radix radix :
       {Radix{INT32_MAX, 3}, Radix{3, INT32_MAX}, Radix{INT32_MAX, INT32_MAX}, Radix{1, 1}}) {
    for (int64_t value : {int64_t{0}, last - 1, last, 3 * last - 1, 3 * last}) {
      for (int64_t step : {int64_t{8}, int64_t{32}, last - 1, last}) {
        if (radix.low == 1 && value + step > UINT32_MAX) continue;
        CHECK(same(advanced(to_digits(value, radix), to_digits(step, radix), radix),
                   to_digits(value + step, radix)));
      }
    }
  }
}

// Every pixel and tap of every small window, against the definition of a convolution.
void windows() {
  for (int in = 1; in <= 5; ++in) {
    for (int kernel = 1; kernel <= 4; ++kernel) {
      for (int stride = 1; stride <= 3; ++stride) {
        for (int dilation = 1; dilation <= 3; ++dilation) {
          for (int pad = 0; pad <= 3; ++pad) {
            const int room = in + 2 * pad - dilation * (kernel - 1) - 1;
            if (room < 0) continue;
            const int out = room / stride + 1, channels = 3, batch = 2, width = 2;
            // height as above, width 2 with a 1-wide kernel: the two axes must not be confused.
            const Window w{channels,      in,       width, batch, {out, width},
                           stride,        1,        -pad,  0,     static_cast<uint32_t>(kernel),
                           {1, channels}, dilation, 1};
            int64_t m = 0;
            for (int n = 0; n < batch; ++n) {
              for (int r = 0; r < out; ++r) {
                for (int c = 0; c < width; ++c, ++m) {
                  const WindowPixel pixel = window_pixel(w, to_digits(m, w.grid));
                  for (int k = 0; k < kernel * channels; ++k) {
                    const WindowTap tap = window_tap(w, to_digits(k, w.taps));
                    const int y = r * stride - pad + k / channels * dilation;
                    const bool inside = y >= 0 && y < in;
                    CHECK(inside_image(w, pixel, tap) == inside);
                    if (!inside) continue;
                    CHECK(pixel.offset + tap.offset ==
                          ((n * in + y) * width + c) * channels + k % channels);
                  }
                  CHECK(
                      !inside_image(w, pixel, window_tap(w, to_digits(kernel * channels, w.taps))));
                }
              }
            }
            const WindowPixel beyond = window_pixel(w, to_digits(m, w.grid));
            for (int k = 0; k <= kernel * channels; ++k) {
              CHECK(!inside_image(w, beyond, window_tap(w, to_digits(k, w.taps))));
            }
          }
        }
      }
    }
  }
  // The ends of the range: nothing outside may wrap around into the largest image there is.
  Window large{};
  large.image_h = large.image_w = INT32_MAX;
  for (int32_t at : {0, 1, INT32_MAX - 1}) {
    CHECK(inside_image(large, {0, at, at}, {0, 0, 0}));
    CHECK(!inside_image(large, {0, kOutside, 0}, {0, at, at}));
    CHECK(!inside_image(large, {0, at, at}, {0, 0, kOutside}));
    CHECK(!inside_image(large, {0, -1, at}, {0, 0, 0}));
  }
  CHECK(!inside_image(large, {0, kOutside, 0}, {0, 0, kOutside}));
}

// All pairs of pixel and tap that backward_input meets, and no other, each once.
void phases() {
  for (int in = 1; in <= 8; ++in) {
    for (int kernel = 1; kernel <= 5; ++kernel) {
      for (int stride = 1; stride <= 6; ++stride) {
        for (int dilation = 1; dilation <= 6; ++dilation) {
          for (int pad = 0; pad <= 4; ++pad) {
            std::set<std::pair<int64_t, int64_t>> met;
            std::set<int64_t> pixels;
            const int64_t count = tapped_phases(kernel, stride, dilation);
            for (int64_t tap = 0; tap < count; ++tap) {
              const AxisPhase phase = axis_phase(tap, in, kernel, stride, dilation, pad);
              CHECK(phase.taps >= 1);
              for (int64_t i = 0; i < phase.pixels; ++i) {
                const int64_t pixel = phase.first_pixel + i * stride;
                CHECK(pixel >= 0 && pixel < in && pixels.insert(pixel).second);
                for (int64_t j = 0; j < phase.taps; ++j) {
                  const int64_t k = phase.first_tap + j * phase.tap_stride;
                  const int64_t row = i + phase.first_offset - j * phase.offset_step;
                  CHECK(k < kernel && row * stride == pixel + pad - k * dilation);
                  CHECK(met.insert({pixel, k}).second);
                }
              }
            }
            size_t expected = 0;
            for (int64_t pixel = 0; pixel < in; ++pixel) {
              for (int64_t k = 0; k < kernel; ++k) {
                expected += (pixel + pad - k * dilation) % stride == 0 ? 1 : 0;
              }
            }
            CHECK(met.size() == expected);
            CHECK(count == stride || count < stride);
            if (count == stride) CHECK(static_cast<int>(pixels.size()) == in);
          }
        }
      }
    }
  }
}

void rows() {
  for (int64_t m = 0; m < 100; ++m) CHECK(row_position({}, m) == m);
  const ScatteredRows scattered{{2, 3}, 7, 11, 1, 2, 4, 3};  // pixels (1 + 4r, 2 + 3c) of 7 x 11
  int64_t m = 0;
  for (int n = 0; n < 3; ++n) {
    for (int r = 0; r < 2; ++r) {
      for (int c = 0; c < 3; ++c, ++m) {
        CHECK(row_position(scattered, m) == (n * 7 + 1 + 4 * r) * 11 + 2 + 3 * c);
      }
    }
  }
}

void tiles() {
  for (int64_t tile_rows = 1; tile_rows <= 20; ++tile_rows) {
    for (int64_t tile_columns = 1; tile_columns <= 12; ++tile_columns) {
      std::set<std::pair<int64_t, int64_t>> seen;
      for (int64_t i = 0; i < tile_rows * tile_columns; ++i) {
        const TilePosition at = tile_position(i, tile_rows, tile_columns);
        CHECK(at.row >= 0 && at.row < tile_rows && at.column >= 0 && at.column < tile_columns);
        CHECK(seen.insert({at.row, at.column}).second);
      }
    }
  }
  for (int64_t size : {1, 7, 32, 129, 1000, 100000}) {
    for (int64_t depth : {0, 1, 31, 1000, 1000000}) {
      for (int64_t groups : {1, 3, 64}) {
        const TileChoice direct = estimated_choice(kDirectTable, size, size, depth, groups);
        const TileChoice tensor = estimated_choice(kTensorTable, size, size, depth, groups);
        CHECK(direct.row >= 0 && direct.row < kDirectTiles && direct.splits >= 1);
        CHECK(tensor.row >= 0 && tensor.row < kTensorTiles && tensor.splits >= 1);
        CHECK(direct.splits <= kMaxSplits && (depth > 0 || direct.splits == 1));
      }
    }
  }
}

// Each row of chunks is permuted, and the chunks that are read together lie in different banks.
template <int kChunks>
void swizzle() {
  for (int row = 0; row < 64; ++row) {
    std::set<int> places, paired;
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      places.insert(swizzled_chunk<kChunks>(row, chunk));
      paired.insert(paired_chunk(row, chunk));
    }
    CHECK(static_cast<int>(places.size()) == kChunks && *places.rbegin() == kChunks - 1);
    if (kChunks >= 8)
      CHECK(static_cast<int>(paired.size()) == kChunks && *paired.rbegin() == kChunks - 1);
  }
  for (int row = 0; row < 64; row += 8) {
    for (int chunk = 0; chunk < kChunks; ++chunk) {
      std::set<int> banks;  // of 16 bytes
      for (int i = 0; i < 8; ++i) {
        banks.insert(((row + i) * kChunks + swizzled_chunk<kChunks>(row + i, chunk)) % 8);
      }
      CHECK(banks.size() == 8);
    }
  }
  for (int row = 0; row < 64 && kChunks >= 8; row += 4) {
    for (int chunk = 0; chunk < kChunks; chunk += 2) {
      std::set<int> banks;
      for (int i = 0; i < 8; ++i) {
        banks.insert(((row + i / 2) * kChunks + paired_chunk(row + i / 2, chunk + i % 2)) % 8);
      }
      CHECK(banks.size() == 8);
    }
  }
}

}  // namespace

int main() {
  digits();
  windows();
  phases();
  rows();
  tiles();
  swizzle<4>();
  swizzle<8>();
  swizzle<16>();
  swizzle<32>();
  std::printf("%lld\n", static_cast<long long>(wrong));
  return wrong == 0 ? 0 : 1;
}
