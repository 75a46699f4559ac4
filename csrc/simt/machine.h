// The state of the launch that is running: one at a time in a process.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "simt/fiber.h"
#include "simt/ready.h"
#include "simt/runtime.h"
#include "simt/sanitizers.h"
#include "simt/shared_memory.h"

namespace convsmith::simt {

struct PendingCopy {
  unsigned char* to;
  const unsigned char* from;
  size_t bytes;
  bool valid;
  uint32_t group;  // the commit that closes it
  Site site;
};

// To the race checker, what has a fiber or a barrier in common is in order: it gets one set of both
// for each of five blocks that follow one another, as many as most launches have (kMostBlocks).
constexpr int kSets = kTsan ? 5 : 1;

struct Thread {
  Fiber fiber;
  Site site;                       // the last line that called the executor
  const char* waits_in = nullptr;  // null: runnable
  bool left = false;               // has returned from the kernel
  std::vector<PendingCopy> copies;
  uint32_t commits = 0;
};

// A warp operation that some of its lanes have reached.
struct WarpOperation {
  const char* name;
  Site site;
  uint32_t mask, arrived;
  int first;  // thread
  void* slots[kWarp];
};

struct Warp {
  uint32_t lanes = 0;  // that the block has
  uint32_t left = 0;   // that have returned
  std::vector<WarpOperation> pending;
  int phase = 0;
  char race_points[kSets][2];
};

struct Machine {
  const char* op = "";
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  size_t dynamic_bytes = 0;

  Fiber main;
  std::deque<Thread> sets[kSets];
  int set = 0;  // of the running block
  std::vector<Warp> warps;
  int thread_count = 0;
  int left_count = 0;
  int current = -1;  // -1: outside kernels
  ReadySet ready;
  SharedMemory shared;

  int barrier_arrived = 0;
  int barrier_phase = 0;
  int barrier_first = 0;
  Site barrier_site;
  char race_points[kSets][2];
  char race_start, race_end;

  bool failed = false;
  std::string fault;

  Thread& running() { return thread(current); }
  Thread& thread(int index) { return sets[set][static_cast<size_t>(index)]; }
};

Machine& machine();

// Stops the running thread until wake(its number).
void wait(const char* what, const Site& site);
void wake(int thread);

// Each lane of mask brings a slot; the last to arrive calls compute(slots) for all.
void warp_operation(const char* name, uint32_t mask, void* slot, void (*compute)(void* const*),
                    const Site& site);

// While alive, an invalid memory access of a kernel is a fault and not the end of the process.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;
};

}  // namespace convsmith::simt
