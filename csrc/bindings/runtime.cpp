// Arena, threads and instruction set as Python sees them.
#include <pybind11/typing.h>

#include <algorithm>
#include <cstring>

#include "bindings/array.h"
#include "bindings/module.h"
#include "cpu/arena.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"

namespace convsmith::bindings {
namespace {

// Owned by the array's base object: gives the block back when the last view is gone.
struct Block {
  void* data;
  size_t bytes;
};

bool poison_outputs = false;

py::array empty(const std::vector<py::ssize_t>& shape, const py::object& dtype_like) {
  const py::dtype dtype = py::dtype::from_args(dtype_like);
  // Plain numbers only: an object, or a field that holds one, would be a wild pointer.
  if (std::strchr("biufc", dtype.kind()) == nullptr) {
    throw py::type_error("empty: dtype: got " + py::str(dtype).cast<std::string>() +
                         ", wanted a plain numeric type");
  }
  size_t bytes = static_cast<size_t>(dtype.itemsize());
  for (py::ssize_t dim : shape) {
    CONVSMITH_CHECK(dim >= 0, "empty: shape: got a negative size " << dim);
    CONVSMITH_CHECK(!__builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes),
                    "empty: shape: more bytes than 64 bits can count");
  }
  auto* block = new Block{nullptr, bytes};
  try {
    block->data = cpu::arena_allocate(bytes);
  } catch (...) {
    delete block;
    throw;
  }
  py::capsule owner(block, [](void* pointer) {
    auto* released = static_cast<Block*>(pointer);
    cpu::arena_release(released->data, released->bytes);
    delete released;
  });
  // All bits set is a NaN in every float type: an element that no kernel wrote shows.
  if (poison_outputs) std::fill_n(static_cast<unsigned char*>(block->data), bytes, 0xFF);
  return py::array(dtype, shape, block->data, owner);
}

}  // namespace

void bind_runtime(py::module_& m) {
  m.def("empty", &empty, py::arg("shape"), py::arg("dtype"),
        "An uninitialised C-contiguous array in recycled memory.");
  m.def(
      "set_poison", [](bool on) { poison_outputs = on; }, py::arg("on"),
      "For tests: fill every array from empty() with NaN, so that unwritten outputs show.");
  m.def(
      "arena_stats",
      [] {
        const cpu::ArenaStats stats = cpu::arena_stats();
        py::typing::Dict<py::str, py::int_> result;
        result["in_use_bytes"] = stats.in_use_bytes;
        result["cached_bytes"] = stats.cached_bytes;
        result["system_allocations"] = stats.system_allocations;
        return result;
      },
      "Bytes handed out, bytes kept for reuse, and how often the system was asked.");
  m.def("arena_trim", &cpu::arena_trim, py::call_guard<py::gil_scoped_release>(),
        "Give all memory kept for reuse back to the system.");
  m.def(
      "isa", [] { return cpu::isa_name(cpu::active_isa()); },
      "The instruction set in use: generic, avx2 or avx512.");
  m.def("set_isa", &cpu::set_isa, py::arg("name"), "Use this instruction set from now on.");
  m.def("available_isas", &cpu::available_isas, "What this processor can run, fastest last.");
  m.def("num_threads", &cpu::num_threads, "Threads that a kernel uses.");
  m.def("set_num_threads", &cpu::set_num_threads, py::arg("threads"),
        py::call_guard<py::gil_scoped_release>(),
        "Use this many threads from now on; results do not depend on it.");
}

}  // namespace convsmith::bindings
