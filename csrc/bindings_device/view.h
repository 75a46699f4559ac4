// From a Python array to a checked pointer, for the modules that run the CUDA sources. Compiled
// twice: _cuda takes arrays that live on the GPU (__cuda_array_interface__); _simt takes NumPy
// arrays and hands kernels a guarded copy, so that an access outside an array is a fault.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check.h"
#include "cuda/types.h"
#ifdef CONVSMITH_SIMT
#include "simt/guarded.h"
#endif

namespace convsmith::bindings {

namespace py = pybind11;

using cuda::bfloat16;
using cuda::float16;

using Dims = std::vector<int64_t>;

std::string to_text(const Dims& dims);

// NumPy's names; bfloat16 is the type of ml_dtypes.
template <class T>
constexpr const char* kDtypeName = nullptr;
template <>
inline constexpr const char* kDtypeName<float> = "float32";
template <>
inline constexpr const char* kDtypeName<float16> = "float16";
template <>
inline constexpr const char* kDtypeName<bfloat16> = "bfloat16";
template <>
inline constexpr const char* kDtypeName<uint8_t> = "uint8";
template <>
inline constexpr const char* kDtypeName<int32_t> = "int32";
template <>
inline constexpr const char* kDtypeName<int64_t> = "int64";

// An array as the caller gave it. Cheap to copy; the Python array outlives the call.
class DeviceView {
 public:
  // Reads what the object says of itself. False: let pybind11 refuse it. True with `unfit_` set:
  // `require` refuses it, with the names of op and argument.
  bool load(py::handle source);
  void require(const char* op, const char* argument) const;

  const Dims& dims() const { return dims_; }
  int64_t size() const;
  int64_t dim(size_t axis) const { return dims_.at(axis); }
  const std::string& dtype() const { return dtype_; }

  // The data, for kernels, after all checks; `op` and `argument` name the culprit in the message.
  void* checked(const char* op, const char* argument, const Dims& wanted, const char* dtype,
                bool writes) const;

 private:
  void* data(const char* op, const char* argument, bool writes) const;

  std::string unfit_;  // what is wrong with the object, if anything
  void* pointer_ = nullptr;
  Dims dims_;
  std::string dtype_;
  int64_t item_bytes_ = 0;
  bool contiguous_ = false;
  bool read_only_ = false;
#ifdef CONVSMITH_SIMT
  struct Copy;
  mutable std::shared_ptr<Copy> copy_;  // writes back, if it is an output, when it goes
#endif
};

using OptionalView = std::optional<DeviceView>;

template <class T>
const T* input(const DeviceView& view, const char* op, const char* argument, const Dims& wanted) {
  return static_cast<const T*>(view.checked(op, argument, wanted, kDtypeName<T>, false));
}
template <class T>
T* output(const DeviceView& view, const char* op, const char* argument, const Dims& wanted) {
  return static_cast<T*>(view.checked(op, argument, wanted, kDtypeName<T>, true));
}
// None gives a null pointer.
template <class T>
const T* optional_input(const OptionalView& view, const char* op, const char* argument,
                        const Dims& wanted) {
  return view ? input<T>(*view, op, argument, wanted) : nullptr;
}
template <class T>
T* optional_output(const OptionalView& view, const char* op, const char* argument,
                   const Dims& wanted) {
  return view ? output<T>(*view, op, argument, wanted) : nullptr;
}

// Calls call(T{}) with the storage type of the view: the one switch over dtypes.
template <class Call>
void with_storage(const DeviceView& view, const char* op, const char* argument, Call&& call) {
  view.require(op, argument);
  if (view.dtype() == "float32") return call(float{});
  if (view.dtype() == "float16") return call(float16{});
  if (view.dtype() == "bfloat16") return call(bfloat16{});
  throw py::type_error(std::string(op) + ": " + argument + ": got dtype " + view.dtype() +
                       ", wanted float32, float16 or bfloat16");
}

// A stream as Python holds it: 0 and 1 are the default stream, 2 is that of the calling thread, all
// else the address of a stream. Whether a stream still lives CUDA itself does not know.
cuda::Stream to_stream(const char* op, uintptr_t stream);

}  // namespace convsmith::bindings

namespace pybind11::detail {

template <>
struct type_caster<convsmith::bindings::DeviceView> {
  PYBIND11_TYPE_CASTER(convsmith::bindings::DeviceView, const_name("typing.Any"));
  bool load(handle source, bool) { return source && value.load(source); }
};

}  // namespace pybind11::detail
