#include "bindings_device/view.h"

namespace convsmith::bindings {

std::string to_text(const Dims& dims) {
  std::string text = "(";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + (dims.size() == 1 ? ",)" : ")");
}

int64_t DeviceView::size() const {
  int64_t size = 1;
  for (int64_t dim : dims_) size *= dim;
  return size;
}

void DeviceView::require(const char* op, const char* argument) const {
  if (!unfit_.empty()) throw py::type_error(std::string(op) + ": " + argument + ": " + unfit_);
}

void* DeviceView::checked(const char* op, const char* argument, const Dims& wanted,
                          const char* dtype, bool writes) const {
  require(op, argument);
  if (dtype_ != dtype) {
    throw py::type_error(std::string(op) + ": " + argument + ": got dtype " + dtype_ + ", wanted " +
                         dtype + "; convert with .astype(...)");
  }
  CONVSMITH_CHECK(dims_ == wanted, op << ": " << argument << ": got shape " << to_text(dims_)
                                      << ", wanted " << to_text(wanted));
  CONVSMITH_CHECK(contiguous_, op << ": " << argument
                                  << ": got an array that is not C-contiguous, wanted one that is; "
                                     "pass ascontiguousarray("
                                  << argument << ")");
  CONVSMITH_CHECK(reinterpret_cast<uintptr_t>(pointer_) % static_cast<uintptr_t>(item_bytes_) == 0,
                  op << ": " << argument << ": got an unaligned array, wanted one aligned to "
                     << item_bytes_ << " bytes; pass a copy");
  CONVSMITH_CHECK(!writes || !read_only_,
                  op << ": " << argument << ": got a read-only array, wanted a writeable one");
  CONVSMITH_CHECK(pointer_ != nullptr || size() == 0,
                  op << ": " << argument << ": got a null pointer for shape " << to_text(dims_)
                     << ", wanted the address of its " << size() << " elements");
  return data(op, argument, writes);
}

cuda::Stream to_stream(const char* op, uintptr_t stream) {
  CONVSMITH_CHECK(stream <= 2 || stream % alignof(void*) == 0,
                  op << ": stream: got " << stream
                     << ", wanted 0, 1, 2 or the address of a CUDA stream, such as "
                        "cupy.cuda.get_current_stream().ptr");
  return reinterpret_cast<cuda::Stream>(stream);
}

}  // namespace convsmith::bindings
