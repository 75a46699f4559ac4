#include "cpu/isa.h"

#include <atomic>
#include <cstdlib>

#include "check.h"

namespace convsmith::cpu {
namespace {

struct Candidate {
  Isa isa;
  const char* name;
  bool (*available)();
};

bool always() { return true; }
#if defined(__x86_64__)
// With avx2 come the smaller extensions that -march=haswell lets the compiler use.
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("lzcnt") && __builtin_cpu_supports("f16c");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

constexpr Candidate kCandidates[] = {
    {Isa::generic, "generic", always},
#if defined(__x86_64__)
    {Isa::avx2, "avx2", has_avx2},
    {Isa::avx512, "avx512", has_avx512},
#endif
};

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Isa parse(const std::string& name, const char* source) {
  for (const Candidate& candidate : kCandidates) {
    if (name == candidate.name && candidate.available()) return candidate.isa;
  }
  CONVSMITH_CHECK(false, source << ": got '" << name << "', wanted one of "
                                << joined(available_isas()) << " (what this processor can run)");
  return Isa::generic;
}

Isa initial_isa() {
  const char* forced = std::getenv("CONVSMITH_ISA");
  if (forced != nullptr && *forced != '\0') return parse(forced, "CONVSMITH_ISA");
  return parse(available_isas().back(), "isa");
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa(initial_isa());
  return isa;
}

}  // namespace

Isa active_isa() { return current().load(std::memory_order_relaxed); }

std::string isa_name(Isa isa) {
  for (const Candidate& candidate : kCandidates) {
    if (candidate.isa == isa) return candidate.name;
  }
  return "unknown";
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Candidate& candidate : kCandidates) {
    if (candidate.available()) names.push_back(candidate.name);
  }
  return names;
}

void set_isa(const std::string& name) { current().store(parse(name, "set_isa")); }

}  // namespace convsmith::cpu
