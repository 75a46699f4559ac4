// Recycled memory for outputs and workspaces.
//
// Fresh pages cost several times more to write than pages that were used before, and a training
// step asks for the same sizes again and again. So freed blocks go to a free list by size class
// and are handed out again; blocks of 2 MB and more are aligned to huge pages. Memory goes back
// to the system through arena_trim, when the system refuses more, and when more lies idle than was
// ever in use at once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace convsmith::cpu {

constexpr size_t kArenaAlignment = 64;

void* arena_allocate(size_t bytes);             // std::bad_alloc when the system has no more
void arena_release(void* block, size_t bytes);  // with the bytes that were asked for

struct ArenaStats {
  int64_t in_use_bytes, cached_bytes, system_allocations;
};
ArenaStats arena_stats();
void arena_trim();

// A block for the duration of a kernel.
class Workspace {
 public:
  explicit Workspace(size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  float* floats;
  void* data;

 private:
  size_t bytes_;
};

}  // namespace convsmith::cpu
