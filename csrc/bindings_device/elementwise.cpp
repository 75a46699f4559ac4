#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

void add(const DeviceView& a, const DeviceView& b, const DeviceView& y, uintptr_t stream) {
  with_storage(a, "add", "a", [&](auto storage) {
    using T = decltype(storage);
    const T* left = input<T>(a, "add", "a", a.dims());
    const T* right = input<T>(b, "add", "b", a.dims());
    T* to = output<T>(y, "add", "y", a.dims());
    const int64_t size = a.size();
    py::gil_scoped_release released;
    cuda::add(size, left, right, to, to_stream("add", stream));
  });
}

}  // namespace

void bind_elementwise(py::module_& m) {
  m.def("add", &add, py::arg("a"), py::arg("b"), py::arg("y"), py::kw_only(), py::arg("stream") = 0,
        "y = a + b, equal shapes.");
}

}  // namespace convsmith::bindings
