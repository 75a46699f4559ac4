// What every C++ rung shares: vectors (csrc/cpu/simd.h), the size of the register tile, aligned
// memory. A rung is one file and one function, named after the file:
//   gemm:   void gemm_NN_name(int64_t m, int64_t n, int64_t k, const float* a, const float* b,
//                             float* c)                          c[m, n] = a[m, k] b[k, n]
//   conv2d: void conv2d_NN_name(const convsmith::Conv2dShape* shape, const float* x,
//                               const float* weight, float* y)   NHWC, weight [oc, kh, kw, ic]
#pragma once

#include <cstdint>
#include <cstdlib>

#include "cpu/kernels/integers.h"
#include "cpu/simd.h"
#include "shapes.h"

#define CONVSMITH_RUNG extern "C" __attribute__((visibility("default"))) void

namespace convsmith::cpu::CONVSMITH_ISA {

// 6 rows of 4 vectors fill the 32 registers of AVX-512, 6 of 2 the 16 of AVX2.
constexpr int kRows = 6;
constexpr int kVectors = kVectorBytes == 64 ? 4 : 2;
constexpr int kColumns = kVectors * kLanes;

class Buffer {
 public:
  explicit Buffer(int64_t floats)
      : data_(static_cast<float*>(
            std::aligned_alloc(64, static_cast<size_t>(round_up(floats * 4 + 1, 64))))) {
    if (data_ == nullptr) std::abort();
  }
  ~Buffer() { std::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  float* data() const { return data_; }

 private:
  float* data_;
};

}  // namespace convsmith::cpu::CONVSMITH_ISA
