#include "cpu/arena.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define CONVSMITH_ARENA_CACHES \
  0  // exact, fresh blocks, so that AddressSanitizer sees every overrun
#else
#define CONVSMITH_ARENA_CACHES 1
#endif

namespace convsmith::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// Eight classes to each power of two: at most 12.5% is lost to rounding. Huge blocks are rounded to
// whole huge pages besides.
[[maybe_unused]] size_t size_class(size_t bytes) {
  if (bytes <= 8 * kArenaAlignment) {
    return bytes == 0 ? kArenaAlignment
                      : (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
  }
  const int top_bit = 63 - __builtin_clzll(bytes - 1);
  const size_t step = size_t{1} << (top_bit - 3);
  const size_t rounded = (bytes + step - 1) / step * step;
  return rounded < kHugePage ? rounded : (rounded + kHugePage - 1) / kHugePage * kHugePage;
}

void* system_allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kArenaAlignment;
  void* block = nullptr;
  if (posix_memalign(&block, alignment, bytes) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (bytes >= kHugePage) madvise(block, bytes, MADV_HUGEPAGE);  // a hint: failure changes nothing
#endif
  return block;
}

// A free block holds the link to the next of its class, so that a release never allocates.
struct FreeBlock {
  FreeBlock* next;
};

struct Arena {
  std::mutex mutex;
  std::map<size_t, FreeBlock*> free_blocks;  // by size class
  ArenaStats stats{0, 0, 0};
  int64_t most_in_use_bytes = 0;

  void trim() {
    for (auto& entry : free_blocks) {
      while (entry.second != nullptr) {
        FreeBlock* const block = entry.second;
        entry.second = block->next;
        std::free(block);
      }
    }
    stats.cached_bytes = 0;
  }
};

// Never destroyed: arrays may outlive static destructors.
Arena& arena() {
  static Arena* const the_arena = [] {
    static Arena* made = new Arena();
    pthread_atfork([] { made->mutex.lock(); }, [] { made->mutex.unlock(); },
                   [] { made->mutex.unlock(); });
    return made;
  }();
  return *the_arena;
}

}  // namespace

void* arena_allocate(size_t bytes) {
  if (bytes > (size_t{1} << 62)) throw std::bad_alloc();
#if !CONVSMITH_ARENA_CACHES
  void* exact = system_allocate(bytes);
  if (exact == nullptr) throw std::bad_alloc();
  return exact;
#else
  const size_t rounded = size_class(bytes);
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(a.mutex);
  FreeBlock*& head = a.free_blocks[rounded];  // also makes the entry that a release will need
  void* block = head;
  if (head != nullptr) {
    head = head->next;
    a.stats.cached_bytes -= static_cast<int64_t>(rounded);
  } else {
    // Sizes that keep changing would leave blocks of every class behind: keep no more than was
    // ever needed at once. Steady work finds its classes and never comes here.
    if (a.stats.cached_bytes > a.most_in_use_bytes) a.trim();
    block = system_allocate(rounded);
    if (block == nullptr) {
      a.trim();
      block = system_allocate(rounded);
    }
    if (block == nullptr) throw std::bad_alloc();
    ++a.stats.system_allocations;
  }
  a.stats.in_use_bytes += static_cast<int64_t>(rounded);
  if (a.stats.in_use_bytes > a.most_in_use_bytes) a.most_in_use_bytes = a.stats.in_use_bytes;
  return block;
#endif
}

void arena_release(void* block, size_t bytes) {
#if !CONVSMITH_ARENA_CACHES
  (void)bytes;
  std::free(block);
#else
  const size_t rounded = size_class(bytes);
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(a.mutex);
  FreeBlock*& head = a.free_blocks.find(rounded)->second;
  head = new (block) FreeBlock{head};
  a.stats.cached_bytes += static_cast<int64_t>(rounded);
  a.stats.in_use_bytes -= static_cast<int64_t>(rounded);
#endif
}

ArenaStats arena_stats() {
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(a.mutex);
  return a.stats;
}

void arena_trim() {
  Arena& a = arena();
  std::lock_guard<std::mutex> lock(a.mutex);
  a.trim();
}

Workspace::Workspace(size_t bytes) : floats(nullptr), data(arena_allocate(bytes)), bytes_(bytes) {
  floats = static_cast<float*>(data);
}

Workspace::~Workspace() { arena_release(data, bytes_); }

}  // namespace convsmith::cpu
