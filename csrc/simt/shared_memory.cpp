#include "simt/shared_memory.h"

#include <cstdlib>
#include <new>

#include "simt/runtime.h"
#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

constexpr size_t kAlignment = 128;
constexpr size_t kRedZone = 128;
// Room for the memory of the device and the red zones of some 500 arrays.
constexpr size_t kArenaBytes = kMaxSharedBytes + 128 * 1024;
constexpr unsigned char kPoison = 0xFF;
// NaN as bfloat16, float16 and float: a read of a red zone shows in the result.
constexpr uint16_t kCanary = 0xFFA5;

unsigned char canary_at(const unsigned char* address) {
  return static_cast<unsigned char>((reinterpret_cast<uintptr_t>(address) & 1) == 0 ? kCanary & 0xFF
                                                                                    : kCanary >> 8);
}

}  // namespace

SharedMemory::~SharedMemory() {
  end_launch();
  std::free(arena_);
}

void SharedMemory::begin_block() {
  if (arena_ != nullptr && !regions_.empty()) unpoison_range(arena_, used_ + kRedZone);
  // The race checker must not take a block's array for the one of the block before. It must not
  // see it freed either while nothing orders the block's threads before this one.
  if (arena_ == nullptr || (kTsan && used_ > 0)) {
    if (arena_ != nullptr) retired_.push_back(arena_);
    arena_ = static_cast<unsigned char*>(std::aligned_alloc(kAlignment, kArenaBytes));
    if (arena_ == nullptr) throw std::bad_alloc();
  }
  regions_.clear();
  used_ = bytes_ = 0;
}

void SharedMemory::end_launch() {
  for (unsigned char* arena : retired_) std::free(arena);
  retired_.clear();
}

void* SharedMemory::find_or_make(const void* key, size_t bytes, const char* name,
                                 const Site& site) {
  for (const Region& region : regions_) {
    if (region.key == key) return region.data;
  }
  if (bytes_ + bytes > kMaxSharedBytes) {
    fail(site, "shared memory: '" + std::string(name) + "' of " + std::to_string(bytes) +
                   " bytes brings the block to " + std::to_string(bytes_ + bytes) +
                   " bytes, wanted at most " + std::to_string(kMaxSharedBytes));
  }
  const size_t begin = used_ + kRedZone;
  const size_t end = (begin + bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (end + 2 * kRedZone > kArenaBytes) fail(site, "shared memory: too many arrays");
  unsigned char* data = arena_ + begin;
  unsigned char* zone_end = arena_ + end + kRedZone;
  // The zone in front of the first array, then each array with the zone behind it.
  if (regions_.empty()) {
    for (unsigned char* p = arena_; p < data; ++p) *p = canary_at(p);
    poison_range(arena_, kRedZone);
  }
  raw_set(data, kPoison, bytes);
  for (unsigned char* p = data + bytes; p < zone_end; ++p) *p = canary_at(p);
  poison_range(data + bytes, static_cast<size_t>(zone_end - data) - bytes);
  regions_.push_back({key, name, data, bytes, zone_end});
  used_ = end;
  bytes_ += bytes;
  return data;
}

bool SharedMemory::holds(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return arena_ != nullptr && byte >= arena_ && byte < arena_ + kArenaBytes;
}

std::string SharedMemory::outside(const void* address, size_t bytes) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  for (const Region& region : regions_) {
    if (byte >= region.data && byte + bytes <= region.data + region.bytes) return {};
    if (byte >= region.data && byte < region.end) {
      return "byte " + std::to_string(byte - region.data) + " of the shared array '" + region.name +
             "' of " + std::to_string(region.bytes) + " bytes";
    }
  }
  return "an address in no shared array";
}

const char* SharedMemory::overrun() const {
  if (kAsan) return nullptr;  // the zones are poisoned: a write there has been reported
  for (const Region& region : regions_) {
    for (const unsigned char* p = region.data - kRedZone; p < region.data; ++p) {
      if (*p != canary_at(p)) return region.name;
    }
    for (const unsigned char* p = region.data + region.bytes; p < region.end; ++p) {
      if (*p != canary_at(p)) return region.name;
    }
  }
  return nullptr;
}

}  // namespace convsmith::simt
