// Arrays on the GPU, whatever library owns them: the CUDA Array Interface, version 3. Its `stream`
// entry is not waited for: the caller names the stream on which the data is ready.
#ifndef CONVSMITH_SIMT
#include "bindings_device/view.h"
#include "cuda/memory.h"

namespace convsmith::bindings {
namespace {

// NumPy's name where kernels know the type; bfloat16 has no letter, its array's dtype has the name.
std::string name_of(py::handle source, const std::string& typestr) {
  if (typestr == "<f4") return "float32";
  if (typestr == "<f2") return "float16";
  if (typestr == "|u1") return "uint8";
  if (typestr == "<i4") return "int32";
  if (typestr == "<i8") return "int64";
  if (typestr.size() == 3 && typestr.substr(1) == "V2" &&
      py::str(py::getattr(source, "dtype", py::none())).cast<std::string>() == "bfloat16") {
    return "bfloat16";
  }
  return typestr;
}

py::object entry(const py::dict& interface, const char* name) {
  return interface.contains(name) ? py::object(interface[name]) : py::none();
}

// Whether the sizes are none below zero and small enough to count bytes in 64 bits.
bool can_count(const Dims& dims, int64_t item_bytes) {
  int64_t bytes = item_bytes;
  for (int64_t dim : dims) {
    if (dim < 0 || __builtin_mul_overflow(bytes, dim > 0 ? dim : 1, &bytes)) return false;
  }
  return true;
}

bool is_contiguous(const Dims& dims, const Dims& steps, int64_t item_bytes) {
  int64_t wanted = item_bytes;
  for (int64_t dim : dims) {
    if (dim == 0) return true;
  }
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] != 1 && steps[i] != wanted) return false;
    wanted *= dims[i];
  }
  return true;
}

std::string type_name(py::handle source) {
  return py::str(py::type::handle_of(source).attr("__name__")).cast<std::string>();
}

}  // namespace

bool DeviceView::load(py::handle source) {
  const py::object found = py::getattr(source, "__cuda_array_interface__", py::none());
  if (found.is_none()) {
    unfit_ = "got " + type_name(source) + ", wanted an array on the GPU, such as cupy.ndarray";
    return true;
  }
  try {
    const auto interface = found.cast<py::dict>();
    const auto data = interface["data"].cast<py::tuple>();
    const auto typestr = interface["typestr"].cast<std::string>();
    pointer_ = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
    read_only_ = data[1].cast<bool>();
    dims_ = interface["shape"].cast<Dims>();
    dtype_ = name_of(source, typestr);
    item_bytes_ = std::stoll(typestr.substr(2));
    if (item_bytes_ < 1 || !can_count(dims_, item_bytes_)) {
      throw std::invalid_argument("shape " + to_text(dims_) + " of type " + typestr);
    }
    const py::object strides = entry(interface, "strides");
    const Dims steps = strides.is_none() ? Dims{} : strides.cast<Dims>();
    if (!strides.is_none() && steps.size() != dims_.size()) {
      throw std::invalid_argument("strides " + to_text(steps) + " of shape " + to_text(dims_));
    }
    contiguous_ = strides.is_none() || is_contiguous(dims_, steps, item_bytes_);
    if (!entry(interface, "mask").is_none()) unfit_ = "got a masked array, wanted one without mask";
  } catch (const std::exception& error) {
    unfit_ = "got " + type_name(source) +
             ", whose __cuda_array_interface__ makes no sense: " + error.what();
  }
  return true;
}

void* DeviceView::data(const char* op, const char* argument, bool) const {
  cuda::check_memory(op, argument, size() > 0 ? pointer_ : nullptr);
  return pointer_;
}

}  // namespace convsmith::bindings
#endif
