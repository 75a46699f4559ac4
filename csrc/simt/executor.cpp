// Launches, blocks, threads: who runs next, and what is wrong when nobody can.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>
#include <set>

#include "simt/machine.h"
#include "simt/sanitizers.h"

// The start of this module, or program, in memory: the linker's name for it.
extern "C" __attribute__((visibility("hidden"))) const char __ehdr_start;

namespace convsmith::simt {

Dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace {

Schedule chosen_schedule;
std::mutex one_launch;
std::set<const void*> launched;

// "0-31, 40": the numbers are in order.
std::string ranges(const std::vector<int>& threads) {
  std::string text;
  for (size_t i = 0; i < threads.size();) {
    size_t j = i;
    while (j + 1 < threads.size() && threads[j + 1] == threads[j] + 1) ++j;
    text += (i == 0 ? "" : ", ") + std::to_string(threads[i]);
    if (j > i) text += "-" + std::to_string(threads[j]);
    i = j + 1;
  }
  return text;
}

// Who waits where: "threads 0-31 wait in sync_block at a.cu:10; ...".
std::string who_waits() {
  Machine& m = machine();
  std::string text;
  std::vector<bool> told(static_cast<size_t>(m.thread_count), false);
  for (int i = 0; i < m.thread_count; ++i) {
    const Thread& first = m.thread(i);
    if (told[static_cast<size_t>(i)] || first.left || first.waits_in == nullptr) continue;
    std::vector<int> together;
    for (int j = i; j < m.thread_count; ++j) {
      const Thread& other = m.thread(j);
      if (!other.left && other.waits_in != nullptr &&
          std::strcmp(other.waits_in, first.waits_in) == 0 && other.site.line == first.site.line &&
          other.site.file == first.site.file) {
        together.push_back(j);
        told[static_cast<size_t>(j)] = true;
      }
    }
    text += (text.empty() ? "threads " : "; threads ") + ranges(together) + " wait in " +
            first.waits_in + " at " + to_text(first.site);
  }
  std::vector<int> gone;
  for (int i = 0; i < m.thread_count; ++i) {
    if (m.thread(i).left) gone.push_back(i);
  }
  if (!gone.empty()) {
    text += (text.empty() ? "threads " : "; threads ") + ranges(gone) + " have left the kernel";
  }
  return text;
}

void resume(int next, bool for_good) {
  Machine& m = machine();
  Fiber& from = m.running().fiber;
  const int self = m.current;
  if (next == self) return;
  m.current = next;
  threadIdx.x = static_cast<unsigned>(next);
  Fiber::change(from, m.thread(next).fiber, for_good);
}

// Leaves the running thread for another, or for the launch when no thread is left.
void run_next(bool for_good) {
  Machine& m = machine();
  const int next = m.ready.take();
  if (next >= 0) {
    resume(next, for_good);
    return;
  }
  if (m.left_count == m.thread_count) {
    Fiber& from = m.running().fiber;
    m.current = -1;
    Fiber::change(from, m.main, for_good);
    return;
  }
  fail(m.running().site, "deadlock: " + who_waits());
}

void leave() {
  Machine& m = machine();
  Thread& thread = m.running();
  thread.left = true;
  ++m.left_count;
  Warp& warp = m.warps[static_cast<size_t>(m.current / kWarp)];
  warp.left |= 1u << (m.current % kWarp);
  if (m.barrier_arrived > 0) {
    fail(thread.site, "divergent barrier: this thread leaves the kernel, but " + who_waits());
  }
  for (const WarpOperation& operation : warp.pending) {
    if ((operation.mask & warp.left) != 0) {
      fail(thread.site, std::string("divergent warp: this thread leaves the kernel, but ") +
                            operation.name + " at " + to_text(operation.site) + " waits for it");
    }
  }
  race_release(&m.race_end);
  run_next(true);
}

void thread_entry() {
  Fiber::entered();
  Machine& m = machine();
  race_acquire(&m.race_start);
  try {
    m.body(m.argument);
  } catch (const std::exception& error) {
    fail(m.running().site, std::string("the kernel threw: ") + error.what());
  }
  leave();
}

void run_block() {
  Machine& m = machine();
  m.left_count = m.barrier_arrived = 0;
  m.shared.begin_block();
  for (size_t w = 0; w < m.warps.size(); ++w) {
    Warp& warp = m.warps[w];
    const int lanes = std::min(kWarp, m.thread_count - static_cast<int>(w) * kWarp);
    warp.lanes = lanes == kWarp ? 0xffffffffu : (1u << lanes) - 1;
    warp.left = 0;
    warp.pending.clear();
  }
  for (int i = 0; i < m.thread_count; ++i) {
    Thread& thread = m.thread(i);
    if (!thread.fiber.made()) thread.fiber.make();
    thread.fiber.start(thread_entry);
    thread.site = Site{};
    thread.waits_in = nullptr;
    thread.left = false;
    thread.copies.clear();
    thread.commits = 0;
    m.ready.add(i);
  }
  race_release(&m.race_start);
  m.current = m.ready.take();
  threadIdx.x = static_cast<unsigned>(m.current);
  Fiber::change(m.main, m.running().fiber, false);
  // Back here: every thread has left, or one has failed.
  m.current = -1;
  if (!m.failed) {
    if (const char* name = m.shared.overrun()) {
      fail(Site{}, std::string("wrote just outside the shared array '") + name + "'");
    }
  }
}

// Block i of the order: forwards, backwards, or (i * step + first) mod count.
class BlockOrder {
 public:
  BlockOrder(const Schedule& schedule, int64_t count) : count_(count) {
    if (schedule.policy == Policy::random) {
      Random random(schedule.seed);
      first_ = static_cast<int64_t>(random.below(static_cast<uint64_t>(count)));
      do {
        step_ = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(count)));
      } while (std::gcd(step_, count) != 1);
    } else if (schedule.seed % 2 == 1) {
      first_ = count - 1;
      step_ = count - 1 == 0 ? 1 : count - 1;
    }
  }
  int64_t block(int64_t i) const {
    return static_cast<int64_t>((static_cast<__int128>(i) * step_ + first_) % count_);
  }

 private:
  int64_t count_;
  int64_t first_ = 0;
  int64_t step_ = 1;
};

void check_launch(const char* op, const cuda::Grid& grid, int threads, size_t dynamic_bytes) {
  constexpr int64_t kMaxX = (int64_t{1} << 31) - 1;
  constexpr int64_t kMaxYZ = 65535;
  if (grid.x < 0 || grid.y < 0 || grid.z < 0 || grid.x > kMaxX || grid.y > kMaxYZ ||
      grid.z > kMaxYZ || threads < 1 || threads > kMaxThreads) {
    throw cuda::DeviceError(std::string(op) + ": launch: got grid (" + std::to_string(grid.x) +
                            ", " + std::to_string(grid.y) + ", " + std::to_string(grid.z) +
                            ") of " + std::to_string(threads) +
                            " threads, wanted at most (2^31 - 1, 65535, 65535) of 1024");
  }
  if (dynamic_bytes > kMaxSharedBytes) {
    throw cuda::DeviceError(std::string(op) + ": launch: got " + std::to_string(dynamic_bytes) +
                            " bytes of shared memory, wanted at most " +
                            std::to_string(kMaxSharedBytes));
  }
}

}  // namespace

Machine& machine() {
  static auto* one = new Machine;  // never destroyed: threads may outlive static destructors
  return *one;
}

void set_schedule(const Schedule& schedule) { chosen_schedule = schedule; }
Schedule schedule() { return chosen_schedule; }

std::string to_text(const Site& site) {
  if (site.file == nullptr) return "an unknown line";
  const char* slash = std::strrchr(site.file, '/');
  return std::string(slash == nullptr ? site.file : slash + 1) + ":" + std::to_string(site.line);
}

void fail(const Site& site, const std::string& what) {
  Machine& m = machine();
  std::string text = std::string("simt: ") + m.op;
  if (m.current >= 0) {
    text += ": block (" + std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " +
            std::to_string(blockIdx.z) + "), thread " + std::to_string(m.current);
  }
  if (site.file != nullptr) text += ": " + to_text(site);
  text += ": " + what;
  if (m.current < 0) throw SimtError(text);
  m.fault = std::move(text);
  m.failed = true;
  race_release(&m.race_end);
  Fiber& from = m.running().fiber;
  m.current = -1;
  Fiber::change(from, m.main, true);
  std::abort();  // nobody comes back here
}

void wait(const char* what, const Site& site) {
  Machine& m = machine();
  Thread& thread = m.running();
  const int self = m.current;
  thread.waits_in = what;
  thread.site = site;
  run_next(false);
  m.current = self;
  threadIdx.x = static_cast<unsigned>(self);
}

void wake(int thread) {
  Machine& m = machine();
  m.thread(thread).waits_in = nullptr;
  m.ready.add(thread);
}

void sync_block(const Site& site) {
  Machine& m = machine();
  m.running().site = site;
  if (m.left_count > 0) {
    fail(site, "divergent barrier: this thread waits in sync_block, but " + who_waits());
  }
  if (m.barrier_arrived == 0) {
    m.barrier_site = site;
    m.barrier_first = m.current;
  } else if (site.line != m.barrier_site.line || site.file != m.barrier_site.file) {
    fail(site, "divergent barrier: thread " + std::to_string(m.barrier_first) +
                   " waits in sync_block at " + to_text(m.barrier_site) +
                   ", this thread comes to another one");
  }
  void* const race_point = &m.race_points[m.set][m.barrier_phase];
  race_release(race_point);
  if (++m.barrier_arrived < m.thread_count) {
    wait("sync_block", site);
  } else {
    m.barrier_arrived = 0;
    m.barrier_phase ^= 1;
    if (const char* name = m.shared.overrun()) {
      fail(site, std::string("before this barrier a thread wrote just outside the shared array '") +
                     name + "'");
    }
    m.running().waits_in = "sync_block";
    for (int i = 0; i < m.thread_count; ++i) wake(i);
    const int self = m.current;
    run_next(false);
    m.current = self;
    threadIdx.x = static_cast<unsigned>(self);
  }
  race_acquire(race_point);
}

std::vector<uint64_t> take_launched_kernels() {
  const std::lock_guard<std::mutex> locked(one_launch);
  std::vector<uint64_t> offsets;
  for (const void* kernel : launched) {
    offsets.push_back(reinterpret_cast<uintptr_t>(kernel) -
                      reinterpret_cast<uintptr_t>(&__ehdr_start));
  }
  launched.clear();
  return offsets;
}

void run(const char* op, const void* kernel, cuda::Grid grid, int threads,
         size_t dynamic_shared_bytes, void (*thread)(void*), void* argument) {
  const std::lock_guard<std::mutex> locked(one_launch);
  check_launch(op, grid, threads, dynamic_shared_bytes);
  const int64_t blocks = grid.x * grid.y * grid.z;
  if (blocks == 0) return;
  launched.insert(kernel);
  Machine& m = machine();
  m.op = op;
  m.body = thread;
  m.argument = argument;
  m.dynamic_bytes = dynamic_shared_bytes;
  m.thread_count = threads;
  m.failed = false;
  m.main.adopt_current();
  m.warps.resize(static_cast<size_t>((threads + kWarp - 1) / kWarp));
  blockDim = Dim3{static_cast<unsigned>(threads), 1, 1};
  gridDim = Dim3{static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                 static_cast<unsigned>(grid.z)};
  threadIdx = Dim3{0, 0, 0};
  const Schedule schedule = chosen_schedule;
  const BlockOrder order(schedule, blocks);
  const SignalGuard signals;
  for (int64_t i = 0; i < blocks && !m.failed; ++i) {
    const int64_t block = order.block(i);
    blockIdx =
        Dim3{static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y),
             static_cast<unsigned>(block / grid.x / grid.y)};
    m.set = static_cast<int>(i % kSets);
    if (m.sets[m.set].size() < static_cast<size_t>(threads)) {
      m.sets[m.set].resize(static_cast<size_t>(threads));
    }
    m.ready.reset(schedule, threads, static_cast<uint64_t>(block));
    run_block();
  }
  race_acquire(&m.race_end);
  m.shared.end_launch();
  if (m.failed) throw SimtError(m.fault);
  check_guard_bands();
}

}  // namespace convsmith::simt
