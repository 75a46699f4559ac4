// One way to refuse bad input: an exception that pybind11 turns into a ValueError.
#pragma once

#include <sstream>
#include <stdexcept>

// CONVSMITH_CHECK(rows > 0, "gemm: a: got " << rows << " rows, wanted at least one");
#define CONVSMITH_CHECK(condition, message)     \
  do {                                          \
    if (!(condition)) {                         \
      std::ostringstream text_;                 \
      text_ << message;                         \
      throw std::invalid_argument(text_.str()); \
    }                                           \
  } while (0)
