// Runs a user's kernel on problems from files, in a program of its own, so that a sanitizer sees
// the kernel and nothing else. Standard input names the files, one a line; each is announced with
// "begin FILE" and "end FILE", behind which stands what the kernel threw.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "workbench/entry.h"

using convsmith::workbench::Argument;
using convsmith::workbench::Role;

CONVSMITH_ENTRY int convsmith_run(const Argument* arguments, char* message, int64_t bytes);

namespace {

bool reported = false;  // by the race checker, which goes on

}  // namespace

// Called before a report: the sanitizer knows the address, only we know the array.
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

#include "simt/machine.h"

CONVSMITH_ENTRY void __asan_on_error() {
  const void* address = __asan_get_report_address();
  const auto& shared = convsmith::simt::machine().shared;
  const std::string where = shared.holds(address) ? shared.outside(address, 1)
                                                  : convsmith::simt::describe_address(address);
  if (!where.empty()) std::fprintf(stderr, "convsmith: %s\n", where.c_str());
}
#endif
#ifdef CONVSMITH_TSAN
CONVSMITH_ENTRY void __tsan_on_report(void*) {
  // The other races of the case follow within a moment; checking each access of a kernel that is
  // full of them would take minutes.
  if (!reported) alarm(2);
  reported = true;
}
#endif

namespace {

struct Loaded {
  std::string name;
  std::vector<unsigned char> data;
  Role role;
};

// As build.py's write_problem says: the number of arguments, then for each its role, the lengths of
// its name and of its data, the name, and the data unless it is an output.
std::vector<Loaded> load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  const auto number = [&file] {
    int64_t value = 0;
    file.read(reinterpret_cast<char*>(&value), sizeof(value));
    return value;
  };
  std::vector<Loaded> arguments(static_cast<size_t>(number()));
  for (Loaded& argument : arguments) {
    argument.role = static_cast<Role>(number());
    argument.name.resize(static_cast<size_t>(number()));
    argument.data.resize(static_cast<size_t>(number()));
    file.read(argument.name.data(), static_cast<std::streamsize>(argument.name.size()));
    if (argument.role != Role::output) {
      file.read(reinterpret_cast<char*>(argument.data.data()),
                static_cast<std::streamsize>(argument.data.size()));
    }
  }
  return arguments;
}

}  // namespace

int main() {
  std::FILE* const answers = fdopen(dup(1), "w");
  if (answers == nullptr || dup2(2, 1) < 0) return 1;  // what the kernel prints is no answer
  std::string path;
  while (std::getline(std::cin, path)) {
    std::vector<Loaded> loaded = load(path);
    std::vector<Argument> arguments;
    for (Loaded& one : loaded) {
      arguments.push_back(
          {one.data.data(), static_cast<int64_t>(one.data.size()), one.name.c_str(), one.role});
    }
    std::fprintf(answers, "begin %s\n", path.c_str());
    std::fflush(answers);
    char message[4096] = "";
    const int failed = convsmith_run(arguments.data(), message, sizeof(message));
    std::fflush(stdout);  // it belongs to this case
    std::fprintf(answers, "end %s %s\n", path.c_str(), message);
    std::fflush(answers);
    // A kernel that failed leaves its threads' stacks behind, and the race checker reports a pair
    // of lines only once: the next case gets a fresh process.
    if (failed != 0 || reported) return 0;
  }
  return 0;
}
