#include "cpu/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "check.h"

namespace convsmith::cpu {
namespace {

constexpr int kMaxThreads = 1024;
// A worker that finds nothing to do looks again for this long before it sleeps: the next op of a
// network usually comes sooner, and a wake-up through the kernel costs about as much.
constexpr auto kSpin = std::chrono::microseconds(50);

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The processor share that a container was given, rounded up; 0 when unlimited or unknown.
int cgroup_quota() {
  std::string quota;
  double period = 0;
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  if (v2 >> quota >> period) {
    if (quota == "max" || period <= 0) return 0;
    return static_cast<int>(std::strtod(quota.c_str(), nullptr) / period + 0.999);
  }
  double quota_us = 0;
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (v1_quota >> quota_us && v1_period >> period && quota_us > 0 && period > 0) {
    return static_cast<int>(quota_us / period + 0.999);
  }
  return 0;
}

int default_threads() {
  const char* forced = std::getenv("CONVSMITH_NUM_THREADS");
  if (forced != nullptr && *forced != '\0') {
    char* end = nullptr;
    const long threads = std::strtol(forced, &end, 10);
    CONVSMITH_CHECK(*end == '\0' && threads >= 1 && threads <= kMaxThreads,
                    "CONVSMITH_NUM_THREADS: got '" << forced << "', wanted an integer from 1 to "
                                                   << kMaxThreads);
    return static_cast<int>(threads);
  }
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) threads = CPU_COUNT(&mask);
  const int quota = cgroup_quota();
  if (quota > 0 && quota < threads) threads = quota;
  return threads < 1 ? 1 : (threads > kMaxThreads ? kMaxThreads : threads);
}

// True in a worker, and in a caller while it works on its own job.
thread_local bool inside_task = false;

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads) {}

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  void set_threads(int threads) {
    std::lock_guard<std::mutex> turn(turn_);
    threads_.store(threads);
  }

  void run(int64_t tasks, int max_workers, void (*function)(void*, int64_t, int), void* context) {
    std::lock_guard<std::mutex> turn(turn_);
    start_missing_workers();
    function_ = function;
    context_ = context;
    tasks_ = tasks;
    workers_ = max_workers < threads() ? max_workers : threads();
    next_.store(0, std::memory_order_relaxed);
    ++generation_;
    gate_.store(generation_ << kGenerationShift, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleep_);
      wake_.notify_all();
    }
    inside_task = true;
    work(0);
    inside_task = false;
    // Close the gate: a worker that wakes only now finds nothing to join. Then wait for those
    // inside.
    gate_.fetch_or(kClosed, std::memory_order_acq_rel);
    while ((gate_.load(std::memory_order_acquire) & kInsideMask) != 0) pause_briefly();
  }

  void lock_for_fork() { turn_.lock(); }
  void unlock_after_fork() { turn_.unlock(); }

 private:
  // gate_: generation | closed bit | number of workers inside the current job.
  static constexpr uint64_t kInsideMask = 0x7fff;
  static constexpr uint64_t kClosed = 0x8000;
  static constexpr int kGenerationShift = 16;

  void start_missing_workers() {
    while (started_ + 1 < threads()) {
      const int worker = ++started_;
      try {
        std::thread([this, worker] { serve(worker); }).detach();
      } catch (...) {
        threads_.store(started_--);  // the machine gives no more threads: go on with what there is
      }
    }
  }

  void work(int worker) {
    for (;;) {
      const int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks_) return;
      function_(context_, task, worker);
    }
  }

  bool job_waits(uint64_t last_generation) const {
    const uint64_t gate = gate_.load(std::memory_order_seq_cst);
    return (gate & kClosed) == 0 && (gate >> kGenerationShift) != last_generation;
  }

  void serve(int worker) {
    inside_task = true;
    uint64_t last_generation = 0;
    for (;;) {
      wait_for_job(last_generation);
      uint64_t gate = gate_.load(std::memory_order_acquire);
      bool joined = false;
      while ((gate & kClosed) == 0 && (gate >> kGenerationShift) != last_generation) {
        if (gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) {
          joined = true;
          break;
        }
      }
      if (!joined) continue;
      last_generation = gate >> kGenerationShift;
      if (worker < workers_) work(worker);
      gate_.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void wait_for_job(uint64_t last_generation) {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < 64; ++i) {
        if (job_waits(last_generation)) return;
        pause_briefly();
      }
    } while (std::chrono::steady_clock::now() < deadline);
    std::unique_lock<std::mutex> lock(sleep_);
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    while (!job_waits(last_generation)) wake_.wait(lock);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::mutex turn_;  // held by the caller whose job runs
  std::atomic<int> threads_;
  int started_ = 0;
  uint64_t generation_ = 0;
  void (*function_)(void*, int64_t, int) = nullptr;
  void* context_ = nullptr;
  int64_t tasks_ = 0;
  int workers_ = 1;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<uint64_t> gate_{kClosed};
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> sleepers_{0};
};

// Never destroyed: its threads may outlive static destructors. A forked child has none of the
// parent's threads, so it starts over with a new pool of the same size.
Pool* the_pool = nullptr;

void prepare_fork() { the_pool->lock_for_fork(); }
void parent_after_fork() { the_pool->unlock_after_fork(); }
void child_after_fork() {
  the_pool = new Pool(the_pool->threads());
  inside_task = false;
}

Pool& pool() {
  static const bool made = [] {
    the_pool = new Pool(default_threads());
    pthread_atfork(prepare_fork, parent_after_fork, child_after_fork);
    return true;
  }();
  (void)made;
  return *the_pool;
}

}  // namespace

int num_threads() { return pool().threads(); }

void set_num_threads(int threads) {
  CONVSMITH_CHECK(threads >= 1 && threads <= kMaxThreads,
                  "set_num_threads: threads: got " << threads << ", wanted 1 to " << kMaxThreads);
  pool().set_threads(threads);
}

void run_tasks(int64_t tasks, int max_workers, void (*function)(void*, int64_t, int),
               void* context) {
  if (inside_task || tasks <= 1 || max_workers <= 1 || num_threads() == 1) {
    for (int64_t task = 0; task < tasks; ++task) function(context, task, 0);
    return;
  }
  pool().run(tasks, max_workers, function, context);
}

}  // namespace convsmith::cpu
