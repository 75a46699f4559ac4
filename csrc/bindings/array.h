// From a NumPy array to a checked pointer. The Python layer has checked the geometry; these checks
// guard memory, so that a direct call of the native module cannot corrupt it either.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "check.h"

namespace convsmith::bindings {

namespace py = pybind11;

using Dims = std::vector<int64_t>;

// Of pooling and resampling: their shapes have the same members.
template <class Shape>
Dims x_dims(const Shape& s) {
  return {s.batch, s.in_h, s.in_w, s.channels};
}
template <class Shape>
Dims y_dims(const Shape& s) {
  return {s.batch, s.out_h, s.out_w, s.channels};
}

inline std::string to_text(const Dims& dims) {
  std::string text = "(";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + (dims.size() == 1 ? ",)" : ")");
}

inline Dims dims_of(const py::array& array) {
  return Dims(array.shape(), array.shape() + array.ndim());
}

template <class T>
std::string dtype_name() {
  return py::str(py::dtype::of<T>()).template cast<std::string>();
}

// `op` and `argument` name the culprit in the message.
template <class T>
void check_memory(const py::array& array, const char* op, const char* argument) {
  if (!py::dtype::of<T>().equal(array.dtype())) {
    std::ostringstream text;
    text << op << ": " << argument << ": got dtype " << py::str(array.dtype()).cast<std::string>()
         << " (byte order '" << array.dtype().byteorder() << "'), wanted native " << dtype_name<T>()
         << "; convert with .astype(" << dtype_name<T>() << ")";
    throw py::type_error(text.str());
  }
  CONVSMITH_CHECK((array.flags() & py::array::c_style) != 0,
                  op << ": " << argument << ": got an array that is not C-contiguous, wanted one "
                     << "that is; pass numpy.ascontiguousarray(" << argument << ")");
  CONVSMITH_CHECK(reinterpret_cast<uintptr_t>(array.data()) % alignof(T) == 0,
                  op << ": " << argument << ": got an unaligned array, wanted one aligned to "
                     << alignof(T) << " bytes; pass a copy");
}

template <class T>
void check_array(const py::array& array, const char* op, const char* argument, const Dims& wanted) {
  check_memory<T>(array, op, argument);
  const Dims got = dims_of(array);
  CONVSMITH_CHECK(got == wanted, op << ": " << argument << ": got shape " << to_text(got)
                                    << ", wanted " << to_text(wanted));
}

template <class T = float>
const T* input(const py::array& array, const char* op, const char* argument, const Dims& wanted) {
  check_array<T>(array, op, argument, wanted);
  return static_cast<const T*>(array.data());
}

template <class T = float>
T* output(py::array& array, const char* op, const char* argument, const Dims& wanted) {
  check_array<T>(array, op, argument, wanted);
  CONVSMITH_CHECK(array.writeable(),
                  op << ": " << argument << ": got a read-only array, wanted a writeable one");
  return static_cast<T*>(array.mutable_data());
}

// For kernels that read an input after they began to write the output.
template <class... Inputs>
void check_disjoint(const py::array& output, const char* op, const char* argument,
                    const Inputs&... inputs) {
  const auto* begin = static_cast<const char*>(output.data());
  const auto refuse_overlap = [&](const py::array& other) {
    const auto* other_begin = static_cast<const char*>(other.data());
    CONVSMITH_CHECK(begin + output.nbytes() <= other_begin ||
                        other_begin + other.nbytes() <= begin || output.nbytes() == 0 ||
                        other.nbytes() == 0,
                    op << ": " << argument
                       << ": got an array that shares memory with an input, wanted one of its own");
  };
  const auto check = [&](const auto& other) {
    if constexpr (std::is_same_v<std::decay_t<decltype(other)>, std::optional<py::array>>) {
      if (other) refuse_overlap(*other);
    } else {
      refuse_overlap(other);
    }
  };
  (check(inputs), ...);
}

// None gives a null pointer.
using OptionalArray = std::optional<py::array>;

template <class T = float>
const T* optional_input(const OptionalArray& array, const char* op, const char* argument,
                        const Dims& wanted) {
  return array ? input<T>(*array, op, argument, wanted) : nullptr;
}

}  // namespace convsmith::bindings
