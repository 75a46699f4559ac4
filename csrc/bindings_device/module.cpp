// The modules over csrc/cuda: _cuda on a GPU, _simt on the CPU. Views, memory checks, dtype switch.
#include "bindings_device/module.h"

#ifdef CONVSMITH_SIMT
#define CONVSMITH_MODULE _simt
#else
#define CONVSMITH_MODULE _cuda
#endif

PYBIND11_MODULE(CONVSMITH_MODULE, m) {
  using namespace convsmith::bindings;
  m.doc() =
      "convsmith's CUDA kernels: float32, float16 and bfloat16 storage, NHWC. Outputs are filled "
      "in "
      "place; use convsmith.ops.";
  bind_runtime(m);
  bind_elementwise(m);
  bind_gemm(m);
  bind_conv2d(m);
  bind_pool2d(m);
  bind_norm(m);
  bind_activation(m);
  bind_softmax(m);
  bind_upsample2d(m);
  bind_optimizer(m);
}
