// NumPy arrays for the simt executor.
#ifdef CONVSMITH_SIMT
#include <pybind11/numpy.h>

#include <cstring>

#include "bindings_device/view.h"

namespace convsmith::bindings {

// A copy against an unmapped page, at the array's own alignment, so that the kernels' paths for
// aligned and unaligned data are the ones that the caller meant.
struct DeviceView::Copy {
  Copy(void* original, size_t bytes, const char* name)
      : original(original),
        bytes(bytes),
        name(name),
        block(bytes, this->name.c_str(), reinterpret_cast<uintptr_t>(original) % 16) {
    if (bytes > 0) std::memcpy(block.data(), original, bytes);
  }
  ~Copy() {
    if (writes && bytes > 0) std::memcpy(original, block.data(), bytes);
  }

  void* original;
  size_t bytes;
  std::string name;
  simt::GuardedBlock block;
  bool writes = false;
};

bool DeviceView::load(py::handle source) {
  if (!py::isinstance<py::array>(source)) return false;
  const auto array = py::reinterpret_borrow<py::array>(source);
  pointer_ = const_cast<void*>(array.data());
  dims_.assign(array.shape(), array.shape() + array.ndim());
  dtype_ = py::str(array.dtype()).cast<std::string>();
  item_bytes_ = array.itemsize();
  contiguous_ = (array.flags() & py::array::c_style) != 0;
  read_only_ = !array.writeable();
  return true;
}

void* DeviceView::data(const char*, const char* argument, bool writes) const {
  if (!copy_) {
    copy_ = std::make_shared<Copy>(pointer_, static_cast<size_t>(size() * item_bytes_), argument);
    if (!writes) copy_->block.make_read_only();
  }
  copy_->writes = copy_->writes || writes;
  return copy_->block.data();
}

}  // namespace convsmith::bindings
#endif
