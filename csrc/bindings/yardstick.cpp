// The yardsticks: calls to be timed, as close to the machine's limits as it lets anyone come.
#include <vector>

#include "bindings/array.h"
#include "bindings/module.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace convsmith::bindings {
namespace {

int64_t yardstick_multiply_add(int64_t rounds) {
  CONVSMITH_CHECK(rounds >= 1,
                  "yardstick_multiply_add: rounds: got " << rounds << ", wanted at least 1");
  const int threads = cpu::num_threads();  // once: another thread may set it at any time
  std::vector<float> sums(static_cast<size_t>(threads));
  int64_t flop = 0;
  py::gil_scoped_release released;
  // x / 2 + 1 stays near 2: no overflow, and no denormal numbers, which would be slow.
  CONVSMITH_CPU_CALL(yardstick_multiply_add, threads, rounds, 0.5f, 1.0f, sums.data(), &flop);
  return flop;
}

void yardstick_copy(const py::array& x, py::array y) {
  const float* from = input(x, "yardstick_copy", "x", dims_of(x));
  float* to = output(y, "yardstick_copy", "y", dims_of(x));
  const int64_t size = x.size();
  py::gil_scoped_release released;
  CONVSMITH_CPU_CALL(yardstick_copy, size, from, to);
}

}  // namespace

void bind_yardstick(py::module_& m) {
  m.def("yardstick_multiply_add", &yardstick_multiply_add, py::arg("rounds"),
        "Multiply-adds in registers on every thread; returns the number of operations, two each.");
  m.def("yardstick_copy", &yardstick_copy, py::arg("x"), py::arg("y"), "y = x on all threads.");
}

}  // namespace convsmith::bindings
