// What kernels do to memory through the executor: checks of an address, shared arrays,
// asynchronous copies, atomics.
#include <algorithm>

#include "simt/machine.h"
#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

constexpr unsigned char kPoison = 0xFF;
const char dynamic_key = 0;

std::string at(const void* address) {
  const std::string where = describe_address(address);
  return where.empty() ? std::string() : " (" + where + ")";
}

void check_alignment(const char* what, const void* address, size_t alignment, const Site& site) {
  const auto rest = reinterpret_cast<uintptr_t>(address) % alignment;
  if (rest != 0) {
    fail(site, std::string(what) + ": misaligned address: " + std::to_string(rest) +
                   " bytes after a multiple of " + std::to_string(alignment) + at(address));
  }
}

void land(PendingCopy& copy) {
  race_write(copy.to, copy.bytes);
  if (copy.valid) {
    race_read(copy.from, copy.bytes);
    raw_copy(copy.to, copy.from, copy.bytes);
  } else {
    raw_set(copy.to, 0, copy.bytes);
  }
}

}  // namespace

void* static_shared(const void* declaration, size_t bytes, const char* name, const Site& site) {
  Machine& m = machine();
  m.running().site = site;
  if (bytes > kMaxStaticSharedBytes) {
    fail(site, "shared memory: '" + std::string(name) + "' of " + std::to_string(bytes) +
                   " bytes, wanted at most " + std::to_string(kMaxStaticSharedBytes) +
                   " in a static array; use CONVSMITH_DYNAMIC_SHARED");
  }
  return m.shared.find_or_make(declaration, bytes, name, site);
}

void* dynamic_shared(const char* name, const Site& site) {
  Machine& m = machine();
  m.running().site = site;
  return m.shared.find_or_make(&dynamic_key, m.dynamic_bytes, name, site);
}

void check_access(const char* what, const void* address, size_t bytes, size_t alignment,
                  const Site& site) {
  Machine& m = machine();
  if (m.current >= 0) m.running().site = site;
  check_alignment(what, address, alignment, site);
  if (m.shared.holds(address)) {
    const std::string wrong = m.shared.outside(address, bytes);
    if (!wrong.empty()) {
      fail(site, std::string(what) + ": " + std::to_string(bytes) + " bytes beginning at " + wrong);
    }
  } else {
    check_guarded(what, address, bytes, site);
  }
}

void check_shared(const char* what, const void* address, size_t bytes, size_t alignment,
                  const Site& site) {
  if (!machine().shared.holds(address)) {
    fail(site, std::string(what) + ": an address that is not in shared memory" + at(address));
  }
  check_access(what, address, bytes, alignment, site);
}

int atomic_add(int* address, int value) {
  const int before = *address;
  *address = before + value;
  return before;
}

void copy_async(void* shared, const void* global, size_t bytes, bool valid, const Site& site) {
  check_shared("copy_async", shared, bytes, bytes, site);
  check_alignment("copy_async", global, bytes, site);
  if (machine().shared.holds(global)) {
    fail(site, "copy_async: the source is in shared memory, wanted global memory");
  }
  if (valid) check_guarded("copy_async", global, bytes, site);
  Thread& thread = machine().running();
  // From now until the wait the destination holds neither the old data nor the new.
  [[maybe_unused]] const RaceFrame frame(__builtin_return_address(0));
  race_write(shared, bytes);
  raw_set(static_cast<unsigned char*>(shared), kPoison, bytes);
  thread.copies.push_back({static_cast<unsigned char*>(shared),
                           static_cast<const unsigned char*>(global), bytes, valid, thread.commits,
                           site});
}

void copy_async_commit() { ++machine().running().commits; }

void copy_async_wait(int groups, const Site& site) {
  [[maybe_unused]] const RaceFrame frame(__builtin_return_address(0));
  Thread& thread = machine().running();
  thread.site = site;
  // Groups are numbered by commits; those below `done` must have landed. Copies that no commit has
  // closed are in none and stay under way.
  const int64_t done = static_cast<int64_t>(thread.commits) - groups;
  auto& copies = thread.copies;
  const auto first_left = std::find_if(copies.begin(), copies.end(), [done](const PendingCopy& c) {
    return static_cast<int64_t>(c.group) >= done;
  });
  std::for_each(copies.begin(), first_left, land);
  copies.erase(copies.begin(), first_left);
}

}  // namespace convsmith::simt
