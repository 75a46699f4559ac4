// System V x86-64: the callee-saved registers live on the stack that is left.
#include "simt/context.h"

#if defined(__x86_64__)
#include <cstdint>

// The vector and x87 control words are not saved: kernels do not change them.
asm(R"(
.text
.globl convsmith_simt_switch
.hidden convsmith_simt_switch
.type convsmith_simt_switch, @function
convsmith_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size convsmith_simt_switch, .-convsmith_simt_switch
)");

namespace convsmith::simt {

void* prepare_context(void*, void* stack_high, void (*entry)()) {
  auto* top = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(stack_high) & ~uintptr_t{15});
  // entry sees the stack as after a call: aligned to 16 but for the return address, which is 0.
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  return top;
}

}  // namespace convsmith::simt
#endif
