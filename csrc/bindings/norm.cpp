#include "bindings/array.h"
#include "bindings/module.h"
#include "cpu/kernels.h"

namespace convsmith::bindings {
namespace {

struct Rows {
  int64_t rows, channels;
};

// Everything but the last axis is rows.
Rows rows_of(const py::array& x, const char* op, const char* argument) {
  CONVSMITH_CHECK(x.ndim() >= 1 && x.shape(x.ndim() - 1) >= 1,
                  op << ": " << argument << ": got shape " << to_text(dims_of(x))
                     << ", wanted at least one axis and at least one channel");
  Rows result{1, x.shape(x.ndim() - 1)};
  for (py::ssize_t axis = 0; axis + 1 < x.ndim(); ++axis) result.rows *= x.shape(axis);
  return result;
}

void batch_norm_forward(const py::array& x, const py::array& gamma, const py::array& beta,
                        py::array y, py::array mean, py::array var, float eps) {
  const char* op = "batch_norm_forward";
  const Rows size = rows_of(x, op, "x");
  const float* from = input(x, op, "x", dims_of(x));
  const float* scale = input(gamma, op, "gamma", {size.channels});
  const float* shift = input(beta, op, "beta", {size.channels});
  float* to = output(y, op, "y", dims_of(x));
  float* centre = output(mean, op, "mean", {size.channels});
  float* spread = output(var, op, "var", {size.channels});
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(batch_norm_forward, size.rows, size.channels, eps, from, scale, shift, to,
                     centre, spread);
}

void batch_norm_inference_forward(const py::array& x, const py::array& gamma, const py::array& beta,
                                  const py::array& mean, const py::array& var, py::array y,
                                  float eps) {
  const char* op = "batch_norm_inference_forward";
  const Rows size = rows_of(x, op, "x");
  const float* from = input(x, op, "x", dims_of(x));
  const float* scale = input(gamma, op, "gamma", {size.channels});
  const float* shift = input(beta, op, "beta", {size.channels});
  const float* centre = input(mean, op, "mean", {size.channels});
  const float* spread = input(var, op, "var", {size.channels});
  float* to = output(y, op, "y", dims_of(x));
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(batch_norm_inference_forward, size.rows, size.channels, eps, from, scale,
                     shift, centre, spread, to);
}

// Both backwards take the same arguments; they differ in whether mean and var depend on x.
struct Backward {
  Rows size;
  const float *dy, *x, *gamma, *mean, *var;
  float *dx, *dgamma, *dbeta;
};

Backward check_backward(const char* op, const py::array& dy, const py::array& x,
                        const py::array& gamma, const py::array& mean, const py::array& var,
                        py::array& dx, py::array& dgamma, py::array& dbeta) {
  Backward b;
  b.size = rows_of(x, op, "x");
  b.dy = input(dy, op, "dy", dims_of(x));
  b.x = input(x, op, "x", dims_of(x));
  b.gamma = input(gamma, op, "gamma", {b.size.channels});
  b.mean = input(mean, op, "mean", {b.size.channels});
  b.var = input(var, op, "var", {b.size.channels});
  b.dx = output(dx, op, "dx", dims_of(x));
  b.dgamma = output(dgamma, op, "dgamma", {b.size.channels});
  b.dbeta = output(dbeta, op, "dbeta", {b.size.channels});
  return b;
}

void batch_norm_backward(const py::array& dy, const py::array& x, const py::array& gamma,
                         const py::array& mean, const py::array& var, py::array dx,
                         py::array dgamma, py::array dbeta, float eps) {
  const Backward b =
      check_backward("batch_norm_backward", dy, x, gamma, mean, var, dx, dgamma, dbeta);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(batch_norm_backward, b.size.rows, b.size.channels, eps, b.dy, b.x, b.gamma,
                     b.mean, b.var, b.dx, b.dgamma, b.dbeta);
}

void batch_norm_inference_backward(const py::array& dy, const py::array& x, const py::array& gamma,
                                   const py::array& mean, const py::array& var, py::array dx,
                                   py::array dgamma, py::array dbeta, float eps) {
  const Backward b =
      check_backward("batch_norm_inference_backward", dy, x, gamma, mean, var, dx, dgamma, dbeta);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(batch_norm_inference_backward, b.size.rows, b.size.channels, eps, b.dy, b.x,
                     b.gamma, b.mean, b.var, b.dx, b.dgamma, b.dbeta);
}

LocalResponseNorm check_norm(const char* op, int64_t size, float alpha, float beta, float k) {
  CONVSMITH_CHECK(size >= 1, op << ": size: got " << size << ", wanted 1 or more");
  return {size, alpha, beta, k};
}

void local_response_norm_forward(const py::array& x, py::array y, int64_t size, float alpha,
                                 float beta, float k) {
  const char* op = "local_response_norm_forward";
  const LocalResponseNorm norm = check_norm(op, size, alpha, beta, k);
  const Rows rows = rows_of(x, op, "x");
  const float* from = input(x, op, "x", dims_of(x));
  float* to = output(y, op, "y", dims_of(x));
  check_disjoint(y, op, "y", x);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(local_response_norm_forward, rows.rows, rows.channels, norm, from, to);
}

void local_response_norm_backward(const py::array& dy, const py::array& x, py::array dx,
                                  int64_t size, float alpha, float beta, float k) {
  const char* op = "local_response_norm_backward";
  const LocalResponseNorm norm = check_norm(op, size, alpha, beta, k);
  const Rows rows = rows_of(x, op, "x");
  const float* gradient = input(dy, op, "dy", dims_of(x));
  const float* from = input(x, op, "x", dims_of(x));
  float* to = output(dx, op, "dx", dims_of(x));
  check_disjoint(dx, op, "dx", dy, x);
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(local_response_norm_backward, rows.rows, rows.channels, norm, gradient, from,
                     to);
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("batch_norm_forward", &batch_norm_forward, py::arg("x"), py::arg("gamma"), py::arg("beta"),
        py::arg("y"), py::arg("mean"), py::arg("var"), py::kw_only(), py::arg("eps"),
        "Training: y, and the mean and biased variance of each channel.");
  m.def("batch_norm_backward", &batch_norm_backward, py::arg("dy"), py::arg("x"), py::arg("gamma"),
        py::arg("mean"), py::arg("var"), py::arg("dx"), py::arg("dgamma"), py::arg("dbeta"),
        py::kw_only(), py::arg("eps"), "Gradients through the batch statistics as well.");
  m.def("batch_norm_inference_forward", &batch_norm_inference_forward, py::arg("x"),
        py::arg("gamma"), py::arg("beta"), py::arg("mean"), py::arg("var"), py::arg("y"),
        py::kw_only(), py::arg("eps"), "y with given statistics.");
  m.def("batch_norm_inference_backward", &batch_norm_inference_backward, py::arg("dy"),
        py::arg("x"), py::arg("gamma"), py::arg("mean"), py::arg("var"), py::arg("dx"),
        py::arg("dgamma"), py::arg("dbeta"), py::kw_only(), py::arg("eps"),
        "Gradients with mean and var held constant.");
  m.def("local_response_norm_forward", &local_response_norm_forward, py::arg("x"), py::arg("y"),
        py::kw_only(), py::arg("size"), py::arg("alpha"), py::arg("beta"), py::arg("k"),
        "y = x / (k + alpha / size * sum of x^2 over neighbouring channels)^beta.");
  m.def("local_response_norm_backward", &local_response_norm_backward, py::arg("dy"), py::arg("x"),
        py::arg("dx"), py::kw_only(), py::arg("size"), py::arg("alpha"), py::arg("beta"),
        py::arg("k"), "dx of local_response_norm_forward.");
}

}  // namespace convsmith::bindings
