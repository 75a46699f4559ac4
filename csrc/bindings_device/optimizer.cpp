#include "bindings_device/module.h"
#include "bindings_device/view.h"
#include "cuda/kernels.cuh"

namespace convsmith::bindings {
namespace {

void sgd_update(const DeviceView& param, const DeviceView& grad, const OptionalView& velocity,
                float lr, float momentum, float weight_decay, bool nesterov, uintptr_t stream) {
  const char* op = "sgd_update";
  CONVSMITH_CHECK(velocity || momentum == 0.0f, op << ": velocity: got None with momentum "
                                                   << momentum
                                                   << ", wanted an array of the shape of param");
  with_storage(param, op, "param", [&](auto storage) {
    using T = decltype(storage);
    const Dims& dims = param.dims();
    T* value = output<T>(param, op, "param", dims);
    const T* gradient = input<T>(grad, op, "grad", dims);
    float* speed = optional_output<float>(velocity, op, "velocity", dims);
    const int64_t size = param.size();
    py::gil_scoped_release released;
    cuda::sgd_update(size, lr, momentum, weight_decay, nesterov, gradient, value, speed,
                     to_stream(op, stream));
  });
}

void adam_update(const DeviceView& param, const DeviceView& grad, const DeviceView& exp_avg,
                 const DeviceView& exp_avg_sq, int64_t step, double lr, double beta1, double beta2,
                 double eps, double weight_decay, bool decoupled, uintptr_t stream) {
  const char* op = "adam_update";
  CONVSMITH_CHECK(step >= 1, op << ": step: got " << step << ", wanted 1 or more");
  const AdamStep options{step, lr, beta1, beta2, eps, weight_decay, decoupled};
  with_storage(param, op, "param", [&](auto storage) {
    using T = decltype(storage);
    const Dims& dims = param.dims();
    T* value = output<T>(param, op, "param", dims);
    const T* gradient = input<T>(grad, op, "grad", dims);
    float* first = output<float>(exp_avg, op, "exp_avg", dims);
    float* second = output<float>(exp_avg_sq, op, "exp_avg_sq", dims);
    const int64_t size = param.size();
    py::gil_scoped_release released;
    cuda::adam_update(size, options, gradient, value, first, second, to_stream(op, stream));
  });
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("sgd_update", &sgd_update, py::arg("param"), py::arg("grad"),
        py::arg("velocity").none(true), py::kw_only(), py::arg("lr"), py::arg("momentum"),
        py::arg("weight_decay"), py::arg("nesterov"), py::arg("stream") = 0,
        "One SGD step in place, as torch.optim.SGD with dampening 0; velocity is float32.");
  m.def("adam_update", &adam_update, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::kw_only(), py::arg("step"), py::arg("lr"), py::arg("beta1"),
        py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"),
        py::arg("stream") = 0,
        "One Adam (or, decoupled, AdamW) step in place; the averages are float32.");
}

}  // namespace convsmith::bindings
