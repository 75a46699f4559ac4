// What the executor reports: one exception for every fault of a kernel.
#pragma once

#include <stdexcept>
#include <string>

namespace convsmith::simt {

// A line of a kernel. Wrappers fill it by default arguments, so it is the caller's.
struct Site {
  const char* file = nullptr;
  int line = 0;
};

class SimtError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Reports a fault of the running thread: throws SimtError, from launch when a kernel is running.
// The text gets the kernel, block, thread and line in front.
[[noreturn]] void fail(const Site& site, const std::string& what);

std::string to_text(const Site& site);  // "conv2d.cu:12"

}  // namespace convsmith::simt
