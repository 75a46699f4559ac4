// Memory: outside an array, misaligned, not writeable, never written.
#include "harness.h"

namespace convsmith::cuda::faults {
namespace {

constexpr int kThreads = 64;
#if defined(__x86_64__)
constexpr bool kTrapsDivision = true;
#else
constexpr bool kTrapsDivision = false;  // where dividing by zero gives a number
#endif

CONVSMITH_DEVICE int64_t flat_thread() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

__global__ void copy_kernel(int64_t size, int64_t limit, const float* x, float* y) {
  const int64_t i = flat_thread();
  if (i < limit) y[i] = i < size ? x[i] : 0.0f;
}

__global__ void shift_kernel(int64_t size, int64_t offset, const float* x, float* y) {
  const int64_t i = flat_thread();
  if (i < size) y[i] = x[i + offset];
}

// The sum with both neighbours, zero outside.
__global__ void neighbours_kernel(int64_t size, const float* x, float* y, bool bad) {
  const int64_t i = flat_thread();
  if (i >= size) return;
  const float left = bad || i > 0 ? x[i - 1] : 0.0f;
  const float right = i + 1 < size ? x[i + 1] : 0.0f;
  y[i] = left + x[i] + right;
}

__global__ void write_before_kernel(int64_t size, const float* x, float* y, bool bad) {
  const int64_t i = flat_thread();
  if (i < size) y[i] = x[i];
  if (bad && i == 0) y[-1] = 0;
}

__global__ void pack_kernel(int64_t packs, int64_t offset, const float* x, float* y) {
  const int64_t i = flat_thread();
  if (i < packs) store_pack(y + 4 * i, load_pack<4>(x + 4 * i + offset));
}

__global__ void write_input_kernel(int64_t size, float* x, float* y, bool bad) {
  const int64_t i = flat_thread();
  if (i >= size) return;
  y[i] = 2 * x[i];
  if (bad) x[i] = y[i];
}

template <int Extra>
__global__ void shared_overflow_kernel(const float* x, float* y) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i + Extra] = x[i];
  sync_block();
  y[i] = tile[i + Extra];
}

// A stencil whose halo has no room in the tile.
__global__ void shared_halo_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  sync_block();
  y[i] = tile[i] + (bad || i + 1 < kThreads ? tile[i + 1] : 0.0f);
}

__global__ void dynamic_shared_kernel(const float* x, float* y) {
  CONVSMITH_DYNAMIC_SHARED(float, tile);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  sync_block();
  y[i] = tile[kThreads - 1 - i];
}

__global__ void shared_pack_kernel(const float* x, float* y, bool bad) {
  CONVSMITH_SHARED(float, tile, kThreads + 2);
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = x[i];
  sync_block();
  if (i % 4 == 0) store_pack(y + i, load_pack<4>(tile + i + (bad ? 4 : 0)));
}

__global__ void divide_kernel(int divisor, const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i] = x[i / divisor];
}

template <int Elements>
__global__ void local_array_kernel(const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  volatile float local[Elements];
  for (int j = 0; j < Elements; ++j) local[j] = x[i];
  y[i] = local[i];
}

// 32-bit arithmetic where the product needs 64.
__global__ void narrow_index_kernel(int rows, int columns, const float* x, float* y, bool bad) {
  const int i = static_cast<int>(threadIdx.x);
  const int64_t wide = static_cast<int64_t>(rows) * columns;
  const int64_t count = bad ? rows * columns : wide;
  y[i] = x[i] + static_cast<float>(count - wide);
}

constexpr int64_t kSize = 100;  // two blocks

void copies(void (*kernel)(int64_t, int64_t, const float*, float*), int64_t argument) {
  Array<float> x(kSize, "x"), y(kSize, "y");
  fill(x, value_at);
  launch("copy", kernel, Grid{2}, kThreads, 0, nullptr, kSize, argument, x.data(), y.data());
  expect(y, value_at);
}

void dropped_tail_guard(bool bad) { copies(copy_kernel, bad ? 128 : kSize); }
void off_by_one(bool bad) { copies(shift_kernel, bad ? 1 : 0); }

void neighbours(bool bad) {
  Array<float> x(kSize, "x"), y(kSize, "y");
  fill(x, value_at);
  launch("neighbours", neighbours_kernel, Grid{2}, kThreads, 0, nullptr, kSize, x.data(), y.data(),
         bad);
  const auto at = [](int64_t i) { return i < 0 || i >= kSize ? 0 : value_at(i); };
  expect(y, [&](int64_t i) { return at(i - 1) + at(i) + at(i + 1); });
}

template <class Kernel>
void plain(Kernel kernel, bool bad) {
  Array<float> x(kSize, "x"), y(kSize, "y");
  fill(x, value_at);
  launch("copy", kernel, Grid{2}, kThreads, 0, nullptr, kSize, x.data(), y.data(), bad);
  expect(y, value_at);
}

void write_input(bool bad) {
  Array<float> x(kSize, "x"), y(kSize, "y");
  fill(x, value_at);
  x.make_read_only();
  launch("write_input", write_input_kernel, Grid{2}, kThreads, 0, nullptr, kSize, x.data(),
         y.data(), bad);
  expect(y, [](int64_t i) { return 2 * value_at(i); });
}

void misaligned_pack(bool bad) {
  Array<float> x(101, "x"), y(100, "y");
  fill(x, value_at);
  launch("pack", pack_kernel, Grid{1}, kThreads, 0, nullptr, int64_t{25}, int64_t{bad ? 1 : 0},
         x.data(), y.data());
  expect(y, value_at);
}

void pack_past_the_end(bool bad) {
  Array<float> x(98, "x"), y(100, "y");  // the last pack has two elements
  fill(x, value_at);
  launch("pack", pack_kernel, Grid{1}, kThreads, 0, nullptr, int64_t{bad ? 25 : 24}, int64_t{0},
         x.data(), y.data());
}

// One block of kThreads.
template <class... Params, class... Args>
void one_block(void (*kernel)(Params...), size_t dynamic_bytes, int (*wanted)(int64_t),
               Args... args) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("one_block", kernel, Grid{1}, kThreads, dynamic_bytes, nullptr, args..., x.data(),
         y.data());
  expect(y, wanted);
}
template <class Kernel>
void one_block_flag(Kernel kernel, bool bad, int (*wanted)(int64_t)) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("one_block", kernel, Grid{1}, kThreads, 0, nullptr, x.data(), y.data(), bad);
  expect(y, wanted);
}

int reversed(int64_t i) { return value_at(kThreads - 1 - i); }
int first(int64_t i) { return value_at(i / 4); }
int with_next(int64_t i) { return value_at(i) + (i + 1 < kThreads ? value_at(i + 1) : 0); }

void narrow_index(bool bad) {
  Array<float> x(kThreads, "x"), y(kThreads, "y");
  fill(x, value_at);
  launch("narrow_index", narrow_index_kernel, Grid{1}, kThreads, 0, nullptr, 50000, 50000, x.data(),
         y.data(), bad);
  expect(y, value_at);
}

void workspace_not_cleared(bool bad) {
  const Workspace sums(kThreads * sizeof(float), nullptr, "sums");
  if (!bad) fill_zero("workspace", sums.data(), kThreads * sizeof(float), nullptr);
  for (int64_t i = 0; i < kThreads; ++i) {
    if (sums.as<float>()[i] + 1.0f != 1.0f) throw WrongResult("the workspace is not zero");
  }
}

}  // namespace

std::vector<Case> memory_cases() {
  return {
      {"dropped_tail_guard", "error", "past the end of 'y'", dropped_tail_guard},
      {"index_off_by_one", "error", "past the end of 'x'", off_by_one},
      {"padding_not_checked", "result asan", "", neighbours},
      {"write_before_array", "error asan", "wrote just outside 'y'",
       [](bool bad) { plain(write_before_kernel, bad); }},
      {"write_to_input", "error", ": byte", write_input},
      {"misaligned_pack", "error", "misaligned", misaligned_pack},
      {"pack_past_the_end", "error", "'x' of 392 bytes", pack_past_the_end},
      {"shared_overflow", "error asan", "just outside the shared array 'tile'",
       [](bool bad) {
         one_block(bad ? shared_overflow_kernel<1> : shared_overflow_kernel<0>, 0, value_at);
       }},
      {"shared_read_past_the_end", "result asan", "",
       [](bool bad) { one_block_flag(shared_halo_kernel, bad, with_next); }},
      {"too_little_dynamic_shared", "error asan", "just outside the shared array 'tile'",
       [](bool bad) {
         one_block(dynamic_shared_kernel, (kThreads - (bad ? 8 : 0)) * sizeof(float), reversed);
       }},
      {"shared_pack_past_the_end", "error", "of the shared array 'tile'",
       [](bool bad) { one_block_flag(shared_pack_kernel, bad, value_at); }},
      {"division_by_zero", kTrapsDivision ? "error ubsan" : "ubsan", "division by zero",
       [](bool bad) { one_block(divide_kernel, 0, first, bad ? 0 : 4); }},
      {"stack_overflow", "error", "stack overflowed",
       [](bool bad) {
         one_block(bad ? local_array_kernel<200000> : local_array_kernel<100>, 0, value_at);
       }},
      {"index_in_32_bits", "ubsan", "", narrow_index},
      {"workspace_not_cleared", "result", "", workspace_not_cleared},
  };
}

}  // namespace convsmith::cuda::faults
