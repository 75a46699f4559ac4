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

void* DeviceView::checked(const char* op, const char* argument, const Dims& wanted,
                          const char* dtype, bool writes) const {
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
  return data(argument, writes);
}

}  // namespace convsmith::bindings
