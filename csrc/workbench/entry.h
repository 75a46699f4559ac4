// The C entry of a user's kernel: its arguments as an array, in the order of its parameters. Python
// calls it through ctypes, main.cpp from a program under a sanitizer. The lines that name the
// kernel are written by python/convsmith/workbench/build.py.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <type_traits>
#include <utility>

#include "cuda/types.h"
#include "shapes.h"
#ifdef CONVSMITH_GUARDED
#include "simt/guarded.h"
#endif

#define CONVSMITH_ENTRY extern "C" __attribute__((visibility("default")))

namespace convsmith::workbench {

enum class Role : int32_t { value, input, output };

struct Argument {
  void* data;  // the array, or the value itself
  int64_t bytes;
  const char* name;
  Role role;
};

#ifdef CONVSMITH_GUARDED
// Copies of the arrays between guards, at the arrays' own alignment; outputs start as NaN.
class Arrays {
 public:
  void* lend(const Argument& argument) {
    if (argument.role == Role::value) return argument.data;
    const auto bytes = static_cast<size_t>(argument.bytes);
    const auto offset = reinterpret_cast<uintptr_t>(argument.data) % 16;
    simt::GuardedBlock& block = blocks_.emplace_back(bytes, argument.name, offset);
    if (argument.role == Role::input) {
      if (bytes > 0) std::memcpy(block.data(), argument.data, bytes);
      block.make_read_only();
    } else {
      written_.push_back({argument.data, &block});
    }
    return block.data();
  }
  void give_back() {
    simt::check_guard_bands();
    for (auto& [data, block] : written_) {
      if (block->bytes() > 0) std::memcpy(data, block->data(), block->bytes());
    }
  }

 private:
  std::deque<simt::GuardedBlock> blocks_;
  std::deque<std::pair<void*, simt::GuardedBlock*>> written_;
};
#else
// The arrays themselves.
struct Arrays {
  static void* lend(const Argument& argument) { return argument.data; }
  static void give_back() {}
};
#endif

template <class Parameter>
Parameter as(void* data) {
  if constexpr (std::is_pointer_v<Parameter>) {
    return static_cast<Parameter>(data);
  } else {
    return *static_cast<std::remove_reference_t<Parameter>*>(data);
  }
}

template <class... Parameters, size_t... I>
void call(void (*kernel)(Parameters...), const Argument* arguments, std::index_sequence<I...>) {
  Arrays arrays;
  void* const lent[] = {arrays.lend(arguments[I])...};
  kernel(as<Parameters>(lent[I])...);
  arrays.give_back();
}

// 0, or 1 with what the kernel threw in `message`.
template <class... Parameters>
int run(void (*kernel)(Parameters...), const Argument* arguments, char* message, int64_t bytes) {
  const char* thrown = "threw an object that is no std::exception";
  try {
    call(kernel, arguments, std::index_sequence_for<Parameters...>{});
    return 0;
  } catch (const std::exception& error) {
    std::snprintf(message, static_cast<size_t>(bytes), "%s", error.what());
    return 1;
  } catch (...) {
    std::snprintf(message, static_cast<size_t>(bytes), "%s", thrown);
    return 1;
  }
}

}  // namespace convsmith::workbench
