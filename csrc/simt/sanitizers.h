// The sanitizers' own interfaces, empty in a plain build.
#pragma once

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define CONVSMITH_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define CONVSMITH_ASAN 0
#endif

// Set for the race-checking executables, whose kernels are compiled with -fsanitize=thread while
// the executor is not.
#ifdef CONVSMITH_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void __tsan_func_entry(void* caller);
void __tsan_func_exit();
}
#endif

namespace convsmith::simt {

constexpr bool kAsan = CONVSMITH_ASAN != 0;
#ifdef CONVSMITH_TSAN
constexpr bool kTsan = true;
#else
constexpr bool kTsan = false;
#endif

inline void poison_range([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if CONVSMITH_ASAN
  __asan_poison_memory_region(from, bytes);
#endif
}
inline void unpoison_range([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#if CONVSMITH_ASAN
  __asan_unpoison_memory_region(from, bytes);
#endif
}

// memset and memcpy that the race checker does not intercept: the executor's own accesses are no
// thread's.
inline void raw_set(unsigned char* to, unsigned char value, size_t bytes) {
  if (!kTsan) {
    std::memset(to, value, bytes);
    return;
  }
  for (size_t i = 0; i < bytes; ++i) static_cast<volatile unsigned char*>(to)[i] = value;
}
inline void raw_copy(unsigned char* to, const unsigned char* from, size_t bytes) {
  if (!kTsan) {
    std::memcpy(to, from, bytes);
    return;
  }
  for (size_t i = 0; i < bytes; ++i) static_cast<volatile unsigned char*>(to)[i] = from[i];
}

// For a function of the executor that a kernel calls: the executor is not instrumented, so a report
// would lack the kernel's line. RaceFrame frame(__builtin_return_address(0));
class RaceFrame {
 public:
#ifdef CONVSMITH_TSAN
  explicit RaceFrame(void* caller) { __tsan_func_entry(caller); }
  ~RaceFrame() { __tsan_func_exit(); }
#else
  explicit RaceFrame(void*) {}
#endif
  RaceFrame(const RaceFrame&) = delete;
  RaceFrame& operator=(const RaceFrame&) = delete;
};

// What the executor does to memory on a kernel's behalf, told to the race checker.
inline void race_read([[maybe_unused]] const void* from, [[maybe_unused]] size_t bytes) {
#ifdef CONVSMITH_TSAN
  __tsan_read_range(const_cast<void*>(from), bytes);
#endif
}
inline void race_write([[maybe_unused]] void* to, [[maybe_unused]] size_t bytes) {
#ifdef CONVSMITH_TSAN
  __tsan_write_range(to, bytes);
#endif
}
// Everything the running thread did so far happens before whatever follows race_acquire.
inline void race_release([[maybe_unused]] void* point) {
#ifdef CONVSMITH_TSAN
  __tsan_release(point);
#endif
}
inline void race_acquire([[maybe_unused]] void* point) {
#ifdef CONVSMITH_TSAN
  __tsan_acquire(point);
#endif
}

}  // namespace convsmith::simt
