// An invalid access of a kernel becomes a SimtError: the handler lets the thread continue in a
// function that reports the fault, on a stack of its own (its own may be the thing that is full).
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <cstdlib>

#include "simt/machine.h"
#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr size_t kAltStackBytes = 64 * 1024;

struct sigaction before[3];
stack_t stack_before;
Fiber landing_stack;
const void* bad_address;
int bad_signal;
const char* bad_access;  // "read", "write" or, where the processor does not tell, "access"
pthread_t launching;

// Only calls into the executor leave a trace, so the line is known to be after the last of them.
std::string after(const Site& site) {
  return site.file == nullptr ? std::string() : " (after " + to_text(site) + ")";
}

[[noreturn]] void land() {
  Machine& m = machine();
  Thread& thread = m.running();
  if (bad_signal == SIGFPE) fail(Site{}, "integer division by zero" + after(thread.site));
  if (thread.fiber.overflowed(bad_address)) {
    fail(Site{}, "the thread's stack overflowed: local arrays too large" + after(thread.site));
  }
  const std::string where = describe_address(bad_address);
  fail(Site{}, std::string("invalid ") + bad_access + ": " +
                   (where.empty() ? "an address in no known array" : where) + after(thread.site));
}

void handle(int signal, siginfo_t* info, void* raw_context) {
  Machine& m = machine();
  if (m.current < 0 || !pthread_equal(pthread_self(), launching)) {
    // Not a kernel's: what was installed before gets it when the instruction runs again.
    for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before[i], nullptr);
    return;
  }
  bad_address = info->si_addr;
  bad_signal = signal;
  auto* context = static_cast<ucontext_t*>(raw_context);
  const auto top = reinterpret_cast<uintptr_t>(landing_stack.stack_high()) & ~uintptr_t{15};
  bad_access = "access";
#if defined(__x86_64__)
  if (signal == SIGSEGV)
    bad_access = (context->uc_mcontext.gregs[REG_ERR] & 2) != 0 ? "write" : "read";
  context->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top - 8);
  context->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&land);
#elif defined(__aarch64__)
  context->uc_mcontext.sp = top;
  context->uc_mcontext.pc = reinterpret_cast<uintptr_t>(&land);
#else
  (void)context;
  (void)top;
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before[i], nullptr);
#endif
}

}  // namespace

SignalGuard::SignalGuard() {
  if (kTsan || kAsan) return;  // one defers signals, the other tells the line itself
  static auto* alt_stack = static_cast<unsigned char*>(std::malloc(kAltStackBytes));
  if (!landing_stack.made()) landing_stack.make();
  launching = pthread_self();
  stack_t stack = {};
  stack.ss_sp = alt_stack;
  stack.ss_size = kAltStackBytes;
  sigaltstack(&stack, &stack_before);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &action, &before[i]);
}

SignalGuard::~SignalGuard() {
  if (kTsan || kAsan) return;
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before[i], nullptr);
  sigaltstack(&stack_before, nullptr);
}

}  // namespace convsmith::simt
