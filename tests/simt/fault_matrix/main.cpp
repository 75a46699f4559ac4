// simt_faults list                              name, detectors and text of every case
// simt_faults run NAME good|bad POLICY SEED     one run
// simt_faults all                               every case, good and bad, under many schedules
// A run prints its outcome: "ok", "result: ..." or "error: ...".
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "harness.h"

namespace {

using convsmith::cuda::faults::Case;

constexpr const char* kPolicies[] = {"round_robin", "skew", "random"};
constexpr uint64_t kSeeds = 4;

std::vector<Case> every_case() {
  using namespace convsmith::cuda::faults;
  std::vector<Case> cases;
  for (auto* family : {barrier_cases, warp_cases, memory_cases, sum_cases, copy_cases,
                       tensor_core_cases, race_cases}) {
    for (const Case& one : family()) cases.push_back(one);
  }
  return cases;
}

void run(const Case& one, bool bad, const char* policy, uint64_t seed) {
  for (int i = 0; i < 3; ++i) {
    if (std::strcmp(policy, kPolicies[i]) == 0) {
      convsmith::simt::set_schedule({static_cast<convsmith::simt::Policy>(i), seed});
    }
  }
  std::string outcome = "ok";
  try {
    one.run(bad);
  } catch (const convsmith::cuda::faults::WrongResult& wrong) {
    outcome = std::string("result: ") + wrong.what();
  } catch (const std::exception& error) {
    outcome = std::string("error: ") + error.what();
  }
  std::printf("%s\t%s\t%s\t%llu\t%s\n", one.name, bad ? "bad" : "good", policy,
              static_cast<unsigned long long>(seed), outcome.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const std::vector<Case> cases = every_case();
  if (verb == "list") {
    for (const Case& one : cases) std::printf("%s\t%s\t%s\n", one.name, one.detectors, one.text);
    return 0;
  }
  if (verb == "all") {
    for (const Case& one : cases) {
      for (const bool bad : {false, true}) {
        for (const char* policy : kPolicies) {
          for (uint64_t seed = 0; seed < kSeeds; ++seed) run(one, bad, policy, seed);
        }
      }
    }
    return 0;
  }
  if (verb == "run" && argc == 6) {
    for (const Case& one : cases) {
      if (std::strcmp(one.name, argv[2]) == 0) {
        run(one, std::strcmp(argv[3], "bad") == 0, argv[4], std::strtoull(argv[5], nullptr, 10));
        return 0;
      }
    }
  }
  std::fprintf(stderr, "simt_faults: wanted list, all, or run NAME good|bad POLICY SEED\n");
  return 2;
}
