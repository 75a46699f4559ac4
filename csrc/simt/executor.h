// device.cuh without a GPU: the same names, run thread by thread on the CPU and checked.
//
// Every CUDA thread is a fiber; blocks run one after the other on one OS thread. Whatever the
// hardware leaves undefined is made to show: shared memory starts as NaN, asynchronous copies land
// as late as they may, threads run in an order that a test chooses (set_schedule), and a wrong
// use of barriers or warp operations is a SimtError that names the line. Functions that kernels
// call take the caller's file and line as default arguments.
#pragma once

#include <cmath>
#include <cstring>
#include <tuple>
#include <utility>

#include "cuda/types.h"
#include "simt/numbers.h"
#include "simt/runtime.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define CONVSMITH_DEVICE inline
#define CONVSMITH_HOST_DEVICE inline

// The address of the static variable names the declaration, once per template instantiation.
#define CONVSMITH_SHARED(T, name, count)                            \
  static char name##_declaration_;                                  \
  T* const name = static_cast<T*>(::convsmith::simt::static_shared( \
      &name##_declaration_, sizeof(T) * static_cast<size_t>(count), #name, {__FILE__, __LINE__}))
#define CONVSMITH_DYNAMIC_SHARED(T, name) \
  T* const name = static_cast<T*>(::convsmith::simt::dynamic_shared(#name, {__FILE__, __LINE__}))

// The site of a call: the last two parameters of every wrapper.
#define CONVSMITH_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace convsmith::cuda {

using simt::blockDim;
using simt::blockIdx;
using simt::gridDim;
using simt::threadIdx;

constexpr unsigned kFullWarp = 0xffffffffu;

inline int lane_id() { return static_cast<int>(threadIdx.x & 31u); }
inline int warp_id() { return static_cast<int>(threadIdx.x >> 5); }

inline void sync_block(CONVSMITH_SITE) { simt::sync_block({file, line}); }
inline void sync_warp(unsigned mask = kFullWarp, CONVSMITH_SITE) {
  simt::sync_warp(mask, {file, line});
}
inline void thread_fence() { asm volatile("" ::: "memory"); }

// ---- warp operations ----

namespace detail {
template <class T>
T exchange(simt::Shuffle kind, T value, int argument, const simt::Site& site) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles move 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = simt::shuffle(kind, bits, argument, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
}  // namespace detail

template <class T>
T shuffle_xor(T value, int lane_mask, CONVSMITH_SITE) {
  return detail::exchange(simt::Shuffle::exclusive_or, value, lane_mask, {file, line});
}
template <class T>
T shuffle_down(T value, int delta, CONVSMITH_SITE) {
  return detail::exchange(simt::Shuffle::down, value, delta, {file, line});
}
template <class T>
T shuffle(T value, int source_lane, CONVSMITH_SITE) {
  return detail::exchange(simt::Shuffle::from, value, source_lane, {file, line});
}
inline unsigned ballot(bool predicate, CONVSMITH_SITE) {
  return simt::ballot("ballot", predicate, {file, line});
}
inline bool any(bool predicate, CONVSMITH_SITE) {
  return simt::ballot("any", predicate, {file, line}) != 0;
}
inline bool all(bool predicate, CONVSMITH_SITE) {
  return simt::ballot("all", predicate, {file, line}) == kFullWarp;
}

// Threads never run at once here, so a plain addition is atomic.
inline int atomic_add_int(int* address, int value, CONVSMITH_SITE) {
  simt::check_access("atomic_add_int", address, sizeof(int), sizeof(int), {file, line});
  return simt::atomic_add(address, value);
}

// ---- numbers ----

inline float to_float(float value) { return value; }
inline float to_float(float16 value) { return simt::half_to_float(value.bits); }
inline float to_float(bfloat16 value) { return simt::brain_to_float(value.bits); }

template <class T>
T from_float(float value);
template <>
inline float from_float<float>(float value) {
  return value;
}
template <>
inline float16 from_float<float16>(float value) {
  return float16{simt::float_to_half(value)};
}
template <>
inline bfloat16 from_float<bfloat16>(float value) {
  return bfloat16{simt::float_to_brain(value)};
}

inline uint32_t float_bits(float value) { return simt::bits_of(value); }
inline float bits_float(uint32_t bits) { return simt::float_of(bits); }
inline uint32_t to_tf32(float value) { return simt::float_to_tf32(value); }

// ---- vector accesses ----

template <int N, class T>
Pack<T, N> load_pack(const T* address, CONVSMITH_SITE) {
  simt::check_access("load_pack", address, sizeof(T) * N, sizeof(T) * N, {file, line});
  Pack<T, N> pack;
  for (int i = 0; i < N; ++i) pack.v[i] = address[i];
  return pack;
}
template <class T, int N>
void store_pack(T* address, const Pack<T, N>& pack, CONVSMITH_SITE) {
  simt::check_access("store_pack", address, sizeof(T) * N, sizeof(T) * N, {file, line});
  for (int i = 0; i < N; ++i) address[i] = pack.v[i];
}
template <class T>
T load_readonly(const T* address, CONVSMITH_SITE) {
  simt::check_access("load_readonly", address, sizeof(T), sizeof(T), {file, line});
  return *address;
}

// ---- asynchronous copies ----

inline void copy_async_16(void* shared, const void* global, bool valid, CONVSMITH_SITE) {
  simt::copy_async(shared, global, 16, valid, {file, line});
}
inline void copy_async_8(void* shared, const void* global, bool valid, CONVSMITH_SITE) {
  simt::copy_async(shared, global, 8, valid, {file, line});
}
inline void copy_async_4(void* shared, const void* global, bool valid, CONVSMITH_SITE) {
  simt::copy_async(shared, global, 4, valid, {file, line});
}
inline void copy_async_commit() { simt::copy_async_commit(); }
template <int N>
void copy_async_wait(CONVSMITH_SITE) {
  static_assert(N >= 0, "the number of groups that may stay under way");
  simt::copy_async_wait(N, {file, line});
}

// ---- tensor cores ----

namespace detail {
// The row is read here, by the lane that names it and when it arrives: the earliest it may be.
template <int N>
void load_matrix(uint32_t (&r)[N], const void* row, bool transposed, const simt::Site& site) {
  simt::MatrixRow copy = {};
  if (lane_id() < 8 * N) {
    simt::check_shared("load_matrix", row, 16, 16, site);
    for (int i = 0; i < 8; ++i) copy.v[i] = static_cast<const uint16_t*>(row)[i];
  }
  simt::load_matrix(r, N, copy, transposed, site);
}
}  // namespace detail

inline void load_matrix_x4(uint32_t (&r)[4], const void* shared_row, CONVSMITH_SITE) {
  detail::load_matrix(r, shared_row, false, {file, line});
}
inline void load_matrix_x4_transposed(uint32_t (&r)[4], const void* shared_row, CONVSMITH_SITE) {
  detail::load_matrix(r, shared_row, true, {file, line});
}
inline void load_matrix_x2(uint32_t (&r)[2], const void* shared_row, CONVSMITH_SITE) {
  detail::load_matrix(r, shared_row, false, {file, line});
}
inline void load_matrix_x2_transposed(uint32_t (&r)[2], const void* shared_row, CONVSMITH_SITE) {
  detail::load_matrix(r, shared_row, true, {file, line});
}

inline void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], bfloat16,
                        CONVSMITH_SITE) {
  simt::mma(simt::Mma::bfloat16_16x8x16, c, a, b, {file, line});
}
inline void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], float16,
                        CONVSMITH_SITE) {
  simt::mma(simt::Mma::float16_16x8x16, c, a, b, {file, line});
}
inline void mma_16x8x8_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                            CONVSMITH_SITE) {
  simt::mma(simt::Mma::tf32_16x8x8, c, a, b, {file, line});
}

// ---- host ----

// Few, so that small problems too make a grid-stride loop go round and need several launches.
constexpr int64_t kMostBlocks = 5;

template <class... Params, class... Args>
void launch(const char* op, void (*kernel)(Params...), Grid grid, int threads,
            size_t dynamic_shared_bytes, Stream, Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "one argument for each kernel parameter");
  struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> arguments;
  } call{kernel, std::tuple<Params...>(static_cast<Params>(args)...)};
  simt::run(
      op, reinterpret_cast<const void*>(kernel), grid, threads, dynamic_shared_bytes,
      [](void* pointer) {
        auto* made = static_cast<Call*>(pointer);
        std::apply(made->kernel, made->arguments);
      },
      &call);
}

// Poisoned, and flush against an unmapped page.
class Workspace {
 public:
  Workspace(size_t bytes, Stream, const char*) : block_(bytes, "workspace") {}

  void* data() const { return block_.data(); }
  template <class T>
  T* as() const {
    return static_cast<T*>(block_.data());
  }

 private:
  simt::GuardedBlock block_;
};

inline void fill_zero(const char*, void* data, size_t bytes, Stream) {
  if (bytes > 0) std::memset(data, 0, bytes);
}
inline void copy_bytes(const char*, void* to, const void* from, size_t bytes, Stream) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace convsmith::cuda

#undef CONVSMITH_SITE
