// Errors; for _cuda what it was built for, for _simt the order in which threads run.
#include "bindings_device/module.h"
#include "bindings_device/view.h"
#ifdef CONVSMITH_SIMT
#include "simt/runtime.h"
#endif

namespace convsmith::bindings {

#ifdef CONVSMITH_SIMT
namespace {

constexpr const char* kPolicies[] = {"round_robin", "skew", "random"};

void set_schedule(const std::string& policy, uint64_t seed) {
  for (int i = 0; i < 3; ++i) {
    if (policy == kPolicies[i]) {
      simt::set_schedule({static_cast<simt::Policy>(i), seed});
      return;
    }
  }
  CONVSMITH_CHECK(
      false, "set_schedule: policy: got '" << policy << "', wanted round_robin, skew or random");
}

py::tuple schedule() {
  const simt::Schedule now = simt::schedule();
  return py::make_tuple(kPolicies[static_cast<int>(now.policy)], now.seed);
}

}  // namespace
#endif

void bind_runtime(py::module_& m) {
  // Local: each module raises its own, whichever was imported last.
  py::register_local_exception<cuda::DeviceError>(m, "DeviceError", PyExc_RuntimeError);
#ifdef CONVSMITH_SIMT
  py::register_local_exception<simt::SimtError>(m, "SimtError", PyExc_RuntimeError);
  m.def(
      "set_schedule", &set_schedule, py::arg("policy"), py::arg("seed") = 0,
      "The order in which the threads of a block run between two barriers: round_robin, skew (one "
      "warp as far ahead as it can) or random. An odd seed also runs the blocks last to first "
      "(random: in a random order).");
  m.def("schedule", &schedule, "(policy, seed) as set_schedule left them.");
  m.def("take_launched_kernels", &simt::take_launched_kernels,
        "The kernels that ran since the last call, as offsets into this module.");
#else
  m.def(
      "architectures", [] { return std::vector<std::string>{CONVSMITH_CUDA_ARCHS}; },
      "The GPUs that this module holds code for: sm_80 is machine code of one architecture, "
      "compute_80 is PTX, which the driver compiles for later ones.");
#endif
}

}  // namespace convsmith::bindings
