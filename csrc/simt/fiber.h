// A stack of its own for each CUDA thread, and the switch between two of them, with the
// sanitizers told about it.
#pragma once

#include <cstddef>

namespace convsmith::simt {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void make();                  // maps the stack; once
  void adopt_current();         // this fiber is the OS thread itself
  void start(void (*entry)());  // the next switch here calls entry on an empty stack

  bool made() const { return stack_ != nullptr; }
  bool overflowed(const void* address) const;  // within the unmapped page below the stack
  void* stack_high() const { return stack_ + bytes_; }

  // Leaves `from` for `to`; returns when someone switches back. A fiber that is left for good
  // says so.
  static void change(Fiber& from, Fiber& to, bool for_good);
  // The first thing that an entry calls.
  static void entered();

 private:
  unsigned char* stack_ = nullptr;  // lowest usable byte
  size_t bytes_ = 0;
  bool owned_ = false;
  void* context_ = nullptr;
  void* fake_stack_ = nullptr;  // the address sanitizer's
  void* racer_ = nullptr;       // the thread sanitizer's
};

}  // namespace convsmith::simt
