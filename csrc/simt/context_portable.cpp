// Any other architecture: ucontext, whose switch makes a system call.
#include "simt/context.h"

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>

#include <cstdint>

extern "C" void convsmith_simt_switch(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

namespace convsmith::simt {

void* prepare_context(void* stack_low, void* stack_high, void (*entry)()) {
  // The record itself sits at the top of the stack.
  const uintptr_t top =
      (reinterpret_cast<uintptr_t>(stack_high) - sizeof(ucontext_t)) & ~uintptr_t{63};
  auto* context = reinterpret_cast<ucontext_t*>(top);
  getcontext(context);
  context->uc_stack.ss_sp = stack_low;
  context->uc_stack.ss_size = top - reinterpret_cast<uintptr_t>(stack_low);
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}

}  // namespace convsmith::simt
#endif
