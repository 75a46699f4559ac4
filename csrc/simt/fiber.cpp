#include "simt/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <new>

#include "simt/context.h"
#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

// Kernels keep small arrays on the stack; pages are committed when touched.
constexpr size_t kStackBytes = kAsan ? 256 * 1024 : 128 * 1024;
constexpr size_t kGuardBytes = 64 * 1024;  // a multiple of every page size in use

}  // namespace

Fiber::~Fiber() {
  if (!owned_) return;
#ifdef CONVSMITH_TSAN
  __tsan_destroy_fiber(racer_);
#endif
  munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes);
}

void Fiber::make() {
  void* mapped = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  mprotect(mapped, kGuardBytes, PROT_NONE);
  stack_ = static_cast<unsigned char*>(mapped) + kGuardBytes;
  bytes_ = kStackBytes;
  owned_ = true;
#ifdef CONVSMITH_TSAN
  racer_ = __tsan_create_fiber(0);
#endif
}

void Fiber::adopt_current() {
  pthread_attr_t attributes;
  // Only the address sanitizer asks for the bounds, and finding them takes a while.
  if (kAsan && pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* low = nullptr;
    pthread_attr_getstack(&attributes, &low, &bytes_);
    stack_ = static_cast<unsigned char*>(low);
    pthread_attr_destroy(&attributes);
  }
#ifdef CONVSMITH_TSAN
  racer_ = __tsan_get_current_fiber();
#endif
}

void Fiber::start(void (*entry)()) {
  unpoison_range(stack_, bytes_);  // what a fiber that was abandoned left there
  fake_stack_ = nullptr;
  context_ = prepare_context(stack_, stack_high(), entry);
}

bool Fiber::overflowed(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return owned_ && byte < stack_ && byte >= stack_ - kGuardBytes;
}

void Fiber::change(Fiber& from, Fiber& to, [[maybe_unused]] bool for_good) {
#if CONVSMITH_ASAN
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.fake_stack_, to.stack_, to.bytes_);
#endif
#ifdef CONVSMITH_TSAN
  __tsan_switch_to_fiber(to.racer_, __tsan_switch_to_fiber_no_sync);
#endif
  convsmith_simt_switch(&from.context_, to.context_);
#if CONVSMITH_ASAN
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::entered() {
#if CONVSMITH_ASAN
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace convsmith::simt
