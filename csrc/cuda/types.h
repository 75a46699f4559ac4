// Types that kernels, launchers and bindings share. Plain C++: a binding includes this without
// seeing a CUDA header, in the CUDA build and under the simt executor alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#ifndef CONVSMITH_SIMT
struct CUstream_st;  // the CUDA runtime's name for what cudaStream_t points to
#endif

namespace convsmith::cuda {

// 16-bit storage; arithmetic happens in float (to_float, from_float in device.cuh).
struct float16 {
  uint16_t bits;
};
struct bfloat16 {
  uint16_t bits;
};

#ifdef CONVSMITH_SIMT
using Stream = void*;
#else
using Stream = CUstream_st*;
#endif

// Blocks of a launch. 64-bit so that a grid too large is refused and never wraps.
struct Grid {
  int64_t x;
  int64_t y = 1;
  int64_t z = 1;
};

// A launch or an allocation that failed: the op and the cause.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// N elements that move as one access of sizeof(T) * N bytes: load_pack, store_pack.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  static_assert(N > 0 && (N & (N - 1)) == 0, "a pack has a power of two of elements");
  static_assert(sizeof(T) * N <= 16, "the widest memory access is 16 bytes");
  T v[N];
};

}  // namespace convsmith::cuda
