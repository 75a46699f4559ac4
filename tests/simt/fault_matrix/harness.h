// The fault matrix: small kernels, each in a right form and in one with a planted fault, and for
// each the detectors that must see the fault. A checker that stops failing is the main risk of an
// executor like this one; these cases are its own regression test.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/device.cuh"

namespace convsmith::cuda::faults {

struct Case {
  const char* name;
  // Who must see the fault: "error" (SimtError), "result" (a wrong result under some schedule),
  // "asan", "ubsan", "tsan".
  const char* detectors;
  const char* text;       // what the SimtError says, where one must come
  void (*run)(bool bad);  // throws WrongResult or SimtError
};

class WrongResult : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One function a file, each giving its cases.
std::vector<Case> barrier_cases();
std::vector<Case> warp_cases();
std::vector<Case> memory_cases();
std::vector<Case> sum_cases();
std::vector<Case> copy_cases();
std::vector<Case> tensor_core_cases();
std::vector<Case> race_cases();

// Global memory between guards.
template <class T>
class Array {
 public:
  explicit Array(int64_t size, const char* name = "array")
      : size_(size), block_(static_cast<size_t>(size) * sizeof(T), name) {}

  T* data() const { return static_cast<T*>(block_.data()); }
  T& operator[](int64_t i) const { return data()[i]; }
  int64_t size() const { return size_; }
  void make_read_only() { block_.make_read_only(); }

 private:
  int64_t size_;
  simt::GuardedBlock block_;
};

// element(i) for each i.
template <class T, class Element>
void fill(const Array<T>& array, Element element) {
  for (int64_t i = 0; i < array.size(); ++i) array[i] = static_cast<T>(element(i));
}

// Small integers in no order, exact in every format.
inline int value_at(int64_t i) { return static_cast<int>(i * 7919 % 13) - 6; }

// Throws unless array[i] == wanted(i) for every i; NaN is wrong.
template <class T, class Wanted>
void expect(const Array<T>& array, Wanted wanted) {
  for (int64_t i = 0; i < array.size(); ++i) {
    if (!(array[i] == static_cast<T>(wanted(i)))) {
      throw WrongResult("element " + std::to_string(i) + ": got " + std::to_string(array[i]) +
                        ", wanted " + std::to_string(static_cast<T>(wanted(i))));
    }
  }
}

}  // namespace convsmith::cuda::faults
