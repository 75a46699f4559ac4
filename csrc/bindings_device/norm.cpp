#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

struct Rows {
  int64_t rows, channels;
};

// Everything but the last axis is rows.
Rows rows_of(const DeviceView& x, const char* op, const char* argument) {
  x.require(op, argument);
  CONVSMITH_CHECK(!x.dims().empty() && x.dims().back() >= 1,
                  op << ": " << argument << ": got shape " << to_text(x.dims())
                     << ", wanted at least one axis and at least one channel");
  Rows result{1, x.dims().back()};
  for (size_t axis = 0; axis + 1 < x.dims().size(); ++axis) result.rows *= x.dim(axis);
  return result;
}

const float* per_channel(const DeviceView& view, const char* op, const char* argument,
                         const Rows& size) {
  return input<float>(view, op, argument, {size.channels});
}
float* filled_per_channel(const DeviceView& view, const char* op, const char* argument,
                          const Rows& size) {
  return output<float>(view, op, argument, {size.channels});
}

void batch_norm_forward(const DeviceView& x, const DeviceView& gamma, const DeviceView& beta,
                        const DeviceView& y, const DeviceView& mean, const DeviceView& var,
                        float eps, uintptr_t stream) {
  const char* op = "batch_norm_forward";
  const Rows size = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x.dims());
    const float* scale = per_channel(gamma, op, "gamma", size);
    const float* shift = per_channel(beta, op, "beta", size);
    T* to = output<T>(y, op, "y", x.dims());
    float* centre = filled_per_channel(mean, op, "mean", size);
    float* spread = filled_per_channel(var, op, "var", size);
    py::gil_scoped_release released;
    cuda::batch_norm_forward(size.rows, size.channels, eps, from, scale, shift, to, centre, spread,
                             to_stream(op, stream));
  });
}

void batch_norm_inference_forward(const DeviceView& x, const DeviceView& gamma,
                                  const DeviceView& beta, const DeviceView& mean,
                                  const DeviceView& var, const DeviceView& y, float eps,
                                  uintptr_t stream) {
  const char* op = "batch_norm_inference_forward";
  const Rows size = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x.dims());
    const float* scale = per_channel(gamma, op, "gamma", size);
    const float* shift = per_channel(beta, op, "beta", size);
    const float* centre = per_channel(mean, op, "mean", size);
    const float* spread = per_channel(var, op, "var", size);
    T* to = output<T>(y, op, "y", x.dims());
    py::gil_scoped_release released;
    cuda::batch_norm_inference_forward(size.rows, size.channels, eps, from, scale, shift, centre,
                                       spread, to, to_stream(op, stream));
  });
}

// Both backwards take the same arguments; they differ in whether mean and var depend on x.
template <class Kernel>
void run_backward(const char* op, const DeviceView& dy, const DeviceView& x,
                  const DeviceView& gamma, const DeviceView& mean, const DeviceView& var,
                  const DeviceView& dx, const DeviceView& dgamma, const DeviceView& dbeta,
                  uintptr_t stream, const Kernel& kernel) {
  const Rows size = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", x.dims());
    const T* from = input<T>(x, op, "x", x.dims());
    const float* scale = per_channel(gamma, op, "gamma", size);
    const float* centre = per_channel(mean, op, "mean", size);
    const float* spread = per_channel(var, op, "var", size);
    T* to = output<T>(dx, op, "dx", x.dims());
    float* scale_gradient = filled_per_channel(dgamma, op, "dgamma", size);
    float* shift_gradient = filled_per_channel(dbeta, op, "dbeta", size);
    py::gil_scoped_release released;
    kernel(size, gradient, from, scale, centre, spread, to, scale_gradient, shift_gradient,
           to_stream(op, stream));
  });
}

void batch_norm_backward(const DeviceView& dy, const DeviceView& x, const DeviceView& gamma,
                         const DeviceView& mean, const DeviceView& var, const DeviceView& dx,
                         const DeviceView& dgamma, const DeviceView& dbeta, float eps,
                         uintptr_t stream) {
  run_backward("batch_norm_backward", dy, x, gamma, mean, var, dx, dgamma, dbeta, stream,
               [&](Rows size, auto... arrays) {
                 cuda::batch_norm_backward(size.rows, size.channels, eps, arrays...);
               });
}

void batch_norm_inference_backward(const DeviceView& dy, const DeviceView& x,
                                   const DeviceView& gamma, const DeviceView& mean,
                                   const DeviceView& var, const DeviceView& dx,
                                   const DeviceView& dgamma, const DeviceView& dbeta, float eps,
                                   uintptr_t stream) {
  run_backward("batch_norm_inference_backward", dy, x, gamma, mean, var, dx, dgamma, dbeta, stream,
               [&](Rows size, auto... arrays) {
                 cuda::batch_norm_inference_backward(size.rows, size.channels, eps, arrays...);
               });
}

LocalResponseNorm check_norm(const char* op, int64_t size, float alpha, float beta, float k) {
  CONVSMITH_CHECK(size >= 1, op << ": size: got " << size << ", wanted 1 or more");
  return {size, alpha, beta, k};
}

void local_response_norm_forward(const DeviceView& x, const DeviceView& y, int64_t size,
                                 float alpha, float beta, float k, uintptr_t stream) {
  const char* op = "local_response_norm_forward";
  const LocalResponseNorm norm = check_norm(op, size, alpha, beta, k);
  const Rows rows = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* from = input<T>(x, op, "x", x.dims());
    T* to = output<T>(y, op, "y", x.dims());
    py::gil_scoped_release released;
    cuda::local_response_norm_forward(rows.rows, rows.channels, norm, from, to,
                                      to_stream(op, stream));
  });
}

void local_response_norm_backward(const DeviceView& dy, const DeviceView& x, const DeviceView& dx,
                                  int64_t size, float alpha, float beta, float k,
                                  uintptr_t stream) {
  const char* op = "local_response_norm_backward";
  const LocalResponseNorm norm = check_norm(op, size, alpha, beta, k);
  const Rows rows = rows_of(x, op, "x");
  with_storage(x, op, "x", [&](auto storage) {
    using T = decltype(storage);
    const T* gradient = input<T>(dy, op, "dy", x.dims());
    const T* from = input<T>(x, op, "x", x.dims());
    T* to = output<T>(dx, op, "dx", x.dims());
    py::gil_scoped_release released;
    cuda::local_response_norm_backward(rows.rows, rows.channels, norm, gradient, from, to,
                                       to_stream(op, stream));
  });
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"),
        py::arg("y"), py::arg("mean"), py::arg("var"), py::kw_only(), py::arg("eps"),
        py::arg("stream") = 0,
        "Training: y, and the mean and biased variance of each channel. Per-channel arrays are "
        "float32 for every dtype of x.");
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"),
        py::arg("mean"), py::arg("var"), py::arg("dx"), py::arg("dgamma"), py::arg("dbeta"),
        py::kw_only(), py::arg("eps"), py::arg("stream") = 0,
        "Gradients through the batch statistics as well.");
  m.def("batch_norm_inference_forward", &batch_norm_inference_forward, py::arg("x"),
        py::arg("gamma"), py::arg("beta"), py::arg("mean"), py::arg("var"), py::arg("y"),
        py::kw_only(), py::arg("eps"), py::arg("stream") = 0, "y with given statistics.");
  m.def("batch_norm_inference_backward", &batch_norm_inference_backward, py::arg("dy"),
        py::arg("x"), py::arg("gamma"), py::arg("mean"), py::arg("var"), py::arg("dx"),
        py::arg("dgamma"), py::arg("dbeta"), py::kw_only(), py::arg("eps"), py::arg("stream") = 0,
        "Gradients with mean and var held constant.");
  m.def("local_response_norm_forward", &local_response_norm_forward, py::arg("x"), py::arg("y"),
        py::kw_only(), py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"),
        py::arg("stream") = 0,
        "y = x / (k + alpha / size * sum of x^2 over neighbouring channels)^beta.");
  m.def("local_response_norm_backward", &local_response_norm_backward, py::arg("dy"), py::arg("x"),
        py::arg("dx"), py::kw_only(), py::arg("size"), py::arg("alpha"), py::arg("beta"),
        py::arg("k"), py::arg("stream") = 0, "dx of local_response_norm_forward.");
}

}  // namespace convsmith::bindings
