#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

struct Rows {
  int64_t rows, classes;
};

// Everything but the last axis is rows.
Rows rows_of(const DeviceView& x, const char* op, const char* argument) {
  x.require(op, argument);
  CONVSMITH_CHECK(!x.dims().empty(), op << ": " << argument
                                        << ": got a 0-dimensional array, wanted at least one axis");
  Rows result{1, x.dims().back()};
  for (size_t axis = 0; axis + 1 < x.dims().size(); ++axis) result.rows *= x.dim(axis);
  return result;
}

template <class Kernel>
void forward(const char* op, const DeviceView& x, const DeviceView& y, uintptr_t stream,
             const Kernel& kernel) {
  const Rows size = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x.dims());
    T* to = output<T>(y, op, "y", x.dims());
    py::gil_scoped_release released;
    kernel(size, from, to, to_stream(op, stream));
  });
}

template <class Kernel>
void backward(const char* op, const DeviceView& dy, const DeviceView& y, const DeviceView& dx,
              uintptr_t stream, const Kernel& kernel) {
  const Rows size = rows_of(dy, op, "dy");
  with_storage(dy, op, "dy", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", dy.dims());
    const T* result = input<T>(y, op, "y", dy.dims());
    T* to = output<T>(dx, op, "dx", dy.dims());
    py::gil_scoped_release released;
    kernel(size, gradient, result, to, to_stream(op, stream));
  });
}

void softmax_forward(const DeviceView& x, const DeviceView& y, uintptr_t stream) {
  forward("softmax_forward", x, y, stream,
          [](Rows size, const auto* from, auto* to, cuda::Stream on) {
            cuda::softmax_forward(size.rows, size.classes, from, to, on);
          });
}

void log_softmax_forward(const DeviceView& x, const DeviceView& y, uintptr_t stream) {
  forward("log_softmax_forward", x, y, stream,
          [](Rows size, const auto* from, auto* to, cuda::Stream on) {
            cuda::log_softmax_forward(size.rows, size.classes, from, to, on);
          });
}

void softmax_backward(const DeviceView& dy, const DeviceView& y, const DeviceView& dx,
                      uintptr_t stream) {
  backward("softmax_backward", dy, y, dx, stream,
           [](Rows size, const auto* gradient, const auto* result, auto* to, cuda::Stream on) {
             cuda::softmax_backward(size.rows, size.classes, gradient, result, to, on);
           });
}

void log_softmax_backward(const DeviceView& dy, const DeviceView& y, const DeviceView& dx,
                          uintptr_t stream) {
  backward("log_softmax_backward", dy, y, dx, stream,
           [](Rows size, const auto* gradient, const auto* result, auto* to, cuda::Stream on) {
             cuda::log_softmax_backward(size.rows, size.classes, gradient, result, to, on);
           });
}

// Labels on the host are checked here. Labels on a GPU are not read by the host, which would wait
// for the stream: the ops layer checks them, and the kernel answers a wrong one with NaN.
void check_labels(const char* op, [[maybe_unused]] const int64_t* labels,
                  [[maybe_unused]] int64_t rows, [[maybe_unused]] int64_t classes) {
  CONVSMITH_CHECK(classes > 0 || rows == 0, op << ": logits: got 0 classes, wanted at least one");
#ifdef CONVSMITH_SIMT
  for (int64_t row = 0; row < rows; ++row) {
    CONVSMITH_CHECK(labels[row] >= 0 && labels[row] < classes,
                    op << ": labels: got " << labels[row] << " in row " << row
                       << ", wanted 0 to classes - 1 = " << classes - 1);
  }
#endif
}

void softmax_cross_entropy(const DeviceView& logits, const DeviceView& labels,
                           const DeviceView& losses, const DeviceView& dlogits,
                           float label_smoothing, float scale, uintptr_t stream) {
  const char* op = "softmax_cross_entropy";
  logits.require(op, "logits");
  CONVSMITH_CHECK(logits.dims().size() == 2, op << ": logits: got " << logits.dims().size()
                                                << " dimensions, wanted 2: [rows, classes]");
  const int64_t rows = logits.dim(0);
  const int64_t classes = logits.dim(1);
  with_storage(logits, op, "logits", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(logits, op, "logits", logits.dims());
    const int64_t* label = input<int64_t>(labels, op, "labels", {rows});
    float* loss = output<float>(losses, op, "losses", {rows});
    T* gradient = output<T>(dlogits, op, "dlogits", logits.dims());
    check_labels(op, label, rows, classes);
    py::gil_scoped_release released;
    cuda::softmax_cross_entropy(rows, classes, label_smoothing, scale, from, label, loss, gradient,
                                to_stream(op, stream));
  });
}

}  // namespace

void bind_softmax(py::module_& m) {
  m.def("softmax_forward", &softmax_forward, py::arg("x"), py::arg("y"), py::kw_only(),
        py::arg("stream") = 0, "y = exp(x) / sum(exp(x)) over the last axis.");
  m.def("softmax_backward", &softmax_backward, py::arg("dy"), py::arg("y"), py::arg("dx"),
        py::kw_only(), py::arg("stream") = 0, "dx = y * (dy - sum(dy * y)) over the last axis.");
  m.def("log_softmax_forward", &log_softmax_forward, py::arg("x"), py::arg("y"), py::kw_only(),
        py::arg("stream") = 0, "y = x - log(sum(exp(x))) over the last axis.");
  m.def("log_softmax_backward", &log_softmax_backward, py::arg("dy"), py::arg("y"), py::arg("dx"),
        py::kw_only(), py::arg("stream") = 0, "dx = dy - exp(y) * sum(dy) over the last axis.");
  m.def("softmax_cross_entropy", &softmax_cross_entropy, py::arg("logits"), py::arg("labels"),
        py::arg("losses"), py::arg("dlogits"), py::kw_only(), py::arg("label_smoothing"),
        py::arg("scale"), py::arg("stream") = 0,
        "losses [rows], float32, and dlogits = scale * d(sum of losses) / d(logits).");
}

}  // namespace convsmith::bindings
