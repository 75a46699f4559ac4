#include "bindings/array.h"
#include "bindings/module.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

void sgd_update(py::array param, const py::array& grad, std::optional<py::array> velocity, float lr,
                float momentum, float weight_decay, bool nesterov) {
  const char* op = "sgd_update";
  const Dims dims = dims_of(param);
  float* value = output(param, op, "param", dims);
  const float* gradient = input(grad, op, "grad", dims);
  float* speed = velocity ? output(*velocity, op, "velocity", dims) : nullptr;
  CONVSMITH_CHECK(velocity || momentum == 0.0f, op << ": velocity: got None with momentum "
                                                   << momentum
                                                   << ", wanted an array of the shape of param");
  const int64_t size = param.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(sgd_update, size, lr, momentum, weight_decay, nesterov, gradient, value,
                     speed);
}

void adam_update(py::array param, const py::array& grad, py::array exp_avg, py::array exp_avg_sq,
                 int64_t step, double lr, double beta1, double beta2, double eps,
                 double weight_decay, bool decoupled) {
  const char* op = "adam_update";
  const Dims dims = dims_of(param);
  float* value = output(param, op, "param", dims);
  const float* gradient = input(grad, op, "grad", dims);
  float* first = output(exp_avg, op, "exp_avg", dims);
  float* second = output(exp_avg_sq, op, "exp_avg_sq", dims);
  CONVSMITH_CHECK(step >= 1, op << ": step: got " << step << ", wanted 1 or more");
  const AdamStep options{step, lr, beta1, beta2, eps, weight_decay, decoupled};
  const int64_t size = param.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(adam_update, size, options, gradient, value, first, second);
}

}  // namespace

void bind_optimizer(py::module_& m) {
  m.def("sgd_update", &sgd_update, py::arg("param"), py::arg("grad"),
        py::arg("velocity").none(true), py::kw_only(), py::arg("lr"), py::arg("momentum"),
        py::arg("weight_decay"), py::arg("nesterov"),
        "One SGD step in place, as torch.optim.SGD with dampening 0.");
  m.def("adam_update", &adam_update, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::kw_only(), py::arg("step"), py::arg("lr"), py::arg("beta1"),
        py::arg("beta2"), py::arg("eps"), py::arg("weight_decay"), py::arg("decoupled"),
        "One Adam (or, decoupled, AdamW) step in place; the first step is 1.");
}

}  // namespace convsmith::bindings
