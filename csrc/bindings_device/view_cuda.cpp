// Arrays on the GPU, whatever library owns them: the CUDA Array Interface, version 3.
#ifndef CONVSMITH_SIMT
#include "bindings_device/view.h"

namespace convsmith::bindings {
namespace {

// "<f4" and its like; bfloat16 has no letter, so its name comes from the array's own dtype.
std::string name_of(py::handle source, const std::string& typestr) {
  if (typestr == "<f4") return "float32";
  if (typestr == "<f2") return "float16";
  if (typestr == "|u1") return "uint8";
  if (typestr == "<i4") return "int32";
  if (typestr == "<i8") return "int64";
  if (py::hasattr(source, "dtype")) {
    return py::str(py::getattr(source, "dtype")).cast<std::string>();
  }
  return typestr;
}

bool is_contiguous(const Dims& dims, const py::object& strides, int64_t item_bytes) {
  if (strides.is_none()) return true;
  const auto steps = strides.cast<Dims>();
  int64_t wanted = item_bytes;
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] == 0) return true;
    if (dims[i] != 1 && steps[i] != wanted) return false;
    wanted *= dims[i];
  }
  return true;
}

}  // namespace

bool DeviceView::load(py::handle source) {
  if (!py::hasattr(source, "__cuda_array_interface__")) return false;
  const auto interface = py::getattr(source, "__cuda_array_interface__").cast<py::dict>();
  const auto data = interface["data"].cast<py::tuple>();
  const auto typestr = interface["typestr"].cast<std::string>();
  pointer_ = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
  read_only_ = data[1].cast<bool>();
  dims_ = interface["shape"].cast<Dims>();
  dtype_ = name_of(source, typestr);
  item_bytes_ = std::stoll(typestr.substr(2));
  const py::object strides =
      interface.contains("strides") ? py::object(interface["strides"]) : py::none();
  contiguous_ = is_contiguous(dims_, strides, item_bytes_);
  return true;
}

void* DeviceView::data(const char*, bool) const { return pointer_; }

}  // namespace convsmith::bindings
#endif
