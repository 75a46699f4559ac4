// The executor's functions behind executor.h. Plain declarations, so that kernels can be compiled
// under a sanitizer that the executor itself must not see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/types.h"
#include "simt/fault.h"
#include "simt/guarded.h"

namespace convsmith::simt {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

// Of the running thread; rewritten at every switch.
extern Dim3 threadIdx, blockIdx, blockDim, gridDim;

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;
constexpr size_t kMaxSharedBytes = 163 * 1024;       // sm_80, static and dynamic together
constexpr size_t kMaxStaticSharedBytes = 48 * 1024;  // ptxas refuses more

// ---- schedule: the order in which runnable threads run between two waits ----

enum class Policy { round_robin, skew, random };
struct Schedule {
  Policy policy = Policy::round_robin;
  uint64_t seed = 0;  // odd: blocks run last to first (random: in a random order)
};
void set_schedule(const Schedule& schedule);
Schedule schedule();

// ---- launch ----

void run(const char* op, const void* kernel, cuda::Grid grid, int threads,
         size_t dynamic_shared_bytes, void (*thread)(void*), void* argument);

// The kernels that ran since the last call: offsets of their code from the start of the module, as
// `nm` prints them. A template's instantiations have an offset each.
std::vector<uint64_t> take_launched_kernels();

// ---- inside a kernel ----

void sync_block(const Site& site);
void sync_warp(uint32_t mask, const Site& site);

enum class Shuffle { exclusive_or, down, from };
uint64_t shuffle(Shuffle kind, uint64_t bits, int argument, const Site& site);
uint32_t ballot(const char* name, bool predicate, const Site& site);
int atomic_add(int* address, int value);

void* static_shared(const void* declaration, size_t bytes, const char* name, const Site& site);
void* dynamic_shared(const char* name, const Site& site);

// Faults unless the address is a multiple of alignment and the bytes lie within one array, as far
// as the executor knows the array.
void check_access(const char* what, const void* address, size_t bytes, size_t alignment,
                  const Site& site);
// The same for bytes that must lie in shared memory.
void check_shared(const char* what, const void* address, size_t bytes, size_t alignment,
                  const Site& site);

void copy_async(void* shared, const void* global, size_t bytes, bool valid, const Site& site);
void copy_async_commit();
void copy_async_wait(int groups, const Site& site);

struct MatrixRow {
  uint16_t v[8];
};
void load_matrix(uint32_t* r, int matrices, const MatrixRow& row, bool transposed,
                 const Site& site);

enum class Mma { bfloat16_16x8x16, float16_16x8x16, tf32_16x8x8 };
void mma(Mma kind, float* c, const uint32_t* a, const uint32_t* b, const Site& site);

}  // namespace convsmith::simt
