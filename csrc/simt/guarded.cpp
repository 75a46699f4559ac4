#include "simt/guarded.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

constexpr size_t kWatchedBefore = 256;  // bytes in front of the data whose content is checked
constexpr size_t kUnmapped = 1 << 20;   // on both sides: an index that is wrong by rows stops too
constexpr unsigned char kBand = 0xFE;   // as a float -1.7e38: a read that reaches a result shows
constexpr unsigned char kPoison = 0xFF;

// Of this thread: the one that makes a block also launches the kernels that use it, and several may
// be at it at once. No lock, since to the race checker a lock would order the kernel's threads.
std::vector<GuardedBlock*>& alive() {
  static thread_local std::vector<GuardedBlock*> blocks;
  return blocks;
}

}  // namespace

GuardedBlock::GuardedBlock(size_t bytes, const char* name, size_t offset)
    : bytes_(bytes), name_(name) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  page_bytes_ = (bytes + 15 + page) / page * page;
  void* mapped = mmap(nullptr, page_bytes_ + 2 * kUnmapped, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<unsigned char*>(mapped) + kUnmapped;
  if (mprotect(pages_, page_bytes_, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapped, page_bytes_ + 2 * kUnmapped);
    throw std::bad_alloc();
  }
  unsigned char* end = pages_ + page_bytes_;
  data_ = end - bytes;
  data_ -= (reinterpret_cast<uintptr_t>(data_) - offset) % 16;
  const size_t watched = std::min<size_t>(kWatchedBefore, static_cast<size_t>(data_ - pages_));
  std::memset(data_ - watched, kBand, watched);
  std::memset(data_ + bytes, kBand, static_cast<size_t>(end - data_) - bytes);
  std::memset(data_, kPoison, bytes);
  // The unmapped pages as well: the sanitizer then tells the line, a signal would not.
  poison_range(pages_ - kUnmapped, static_cast<size_t>(data_ - pages_) + kUnmapped);
  poison_range(data_ + bytes, static_cast<size_t>(end - data_) - bytes + kUnmapped);
  alive().push_back(this);
}

GuardedBlock::~GuardedBlock() {
  auto& blocks = alive();
  blocks.erase(std::find(blocks.begin(), blocks.end(), this));
  unpoison_range(pages_ - kUnmapped, page_bytes_ + 2 * kUnmapped);
  munmap(pages_ - kUnmapped, page_bytes_ + 2 * kUnmapped);
}

void GuardedBlock::make_read_only() { mprotect(pages_, page_bytes_, PROT_READ); }

bool GuardedBlock::holds(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return byte >= pages_ && byte < pages_ + page_bytes_;
}

bool GuardedBlock::intact() const {
  if (kAsan) return true;  // the bands are poisoned: a write there has been reported
  const size_t watched = std::min<size_t>(kWatchedBefore, static_cast<size_t>(data_ - pages_));
  const auto is_band = [](unsigned char byte) { return byte == kBand; };
  return std::all_of(data_ - watched, data_, is_band) &&
         std::all_of(data_ + bytes_, pages_ + page_bytes_, is_band);
}

std::string GuardedBlock::describe(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  const std::string whose = std::string("'") + name_ + "' of " + std::to_string(bytes_) + " bytes";
  if (byte < data_) return std::to_string(data_ - byte) + " bytes before " + whose;
  const auto past = byte - data_ - static_cast<std::ptrdiff_t>(bytes_);
  if (past >= 0) return std::to_string(past) + " bytes past the end of " + whose;
  return "byte " + std::to_string(byte - data_) + " of " + whose;
}

std::string describe_address(const void* address) {
  constexpr std::ptrdiff_t kNear = 1 << 20;
  const GuardedBlock* nearest = nullptr;
  std::ptrdiff_t least = kNear;
  for (const GuardedBlock* block : alive()) {
    const auto* from = static_cast<const unsigned char*>(block->data());
    const auto* byte = static_cast<const unsigned char*>(address);
    const auto past = byte - (from + block->bytes());
    const std::ptrdiff_t distance = byte < from ? from - byte : past < 0 ? 0 : past + 1;
    if (distance < least) {
      least = distance;
      nearest = block;
    }
  }
  return nearest == nullptr ? std::string() : nearest->describe(address);
}

void check_guarded(const char* what, const void* address, size_t bytes, const Site& site) {
  for (const GuardedBlock* block : alive()) {
    if (!block->holds(address)) continue;
    const auto* first = static_cast<const unsigned char*>(address);
    const auto* from = static_cast<const unsigned char*>(block->data());
    if (first >= from && first + bytes <= from + block->bytes()) return;
    fail(site, std::string(what) + ": " + std::to_string(bytes) + " bytes beginning at " +
                   block->describe(address));
  }
}

void check_guard_bands() {
  for (const GuardedBlock* block : alive()) {
    if (!block->intact()) {
      fail(Site{}, std::string("wrote just outside '") + block->name() + "' of " +
                       std::to_string(block->bytes()) + " bytes");
    }
  }
}

}  // namespace convsmith::simt
