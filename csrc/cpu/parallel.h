// A small persistent thread pool.
//
// A kernel splits its work into tasks by shape alone, never by thread count, so that the bits of
// its result do not depend on how many threads ran. Tasks are handed out through a counter.
#pragma once

#include <cstdint>

namespace convsmith::cpu {

// Workers, the calling thread included: CONVSMITH_NUM_THREADS, else what the affinity mask and the
// cgroup quota allow.
int num_threads();
void set_num_threads(int threads);  // std::invalid_argument outside [1, 1024]

// Calls function(context, task, worker) for every task in [0, tasks), with worker < max_workers.
// Callers on several threads take turns. Called from inside a task it runs there, as worker 0.
// Tasks must not throw: a kernel allocates its workspace before it starts them.
void run_tasks(int64_t tasks, int max_workers, void (*function)(void*, int64_t, int),
               void* context);

// parallel_for(tasks, workers, [&](int64_t task, int worker) { ... });
// Internal linkage: each instruction set must keep its own copy.
template <class Body>
static inline void parallel_for(int64_t tasks, int max_workers, Body&& body) {
  using Pointer = decltype(&body);
  run_tasks(
      tasks, max_workers,
      [](void* context, int64_t task, int worker) {
        (*static_cast<Pointer>(context))(task, worker);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Cuts [0, size) into tasks of about `grain` items and calls body(begin, end) for each.
template <class Body>
static inline void parallel_ranges(int64_t size, int64_t grain, Body&& body) {
  const int64_t tasks = size > grain ? (size + grain - 1) / grain : (size > 0 ? 1 : 0);
  parallel_for(tasks, num_threads(), [&](int64_t task, int) {
    const int64_t begin = task * grain;
    body(begin, begin + grain < size ? begin + grain : size);
  });
}

}  // namespace convsmith::cpu
