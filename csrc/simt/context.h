// Switching between stacks: what a fiber is made of. One implementation per architecture in
// context_*.cpp; the portable one (ucontext) is twenty times slower.
#pragma once

extern "C" {
// Saves the running context in *from and continues `to`; returns when someone switches back.
void convsmith_simt_switch(void** from, void* to);
}

namespace convsmith::simt {

// A context that calls entry() on the given stack when first switched to. entry never returns.
void* prepare_context(void* stack_low, void* stack_high, void (*entry)());

}  // namespace convsmith::simt
