// The native module: views, memory checks, dtype switch. No arithmetic.
#include "bindings/module.h"

PYBIND11_MODULE(_cpu, m) {
  using namespace convsmith::bindings;
  m.doc() =
      "convsmith's CPU kernels: float32, NHWC. Outputs are filled in place; use convsmith.ops.";
  bind_runtime(m);
  bind_gemm(m);
  bind_conv2d(m);
  bind_pool2d(m);
  bind_norm(m);
  bind_activation(m);
  bind_softmax(m);
  bind_upsample2d(m);
  bind_optimizer(m);
  bind_yardstick(m);
}
