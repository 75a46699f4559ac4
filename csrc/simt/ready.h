// The threads of a block that can run, in the order of a schedule. Every operation is O(1).
#pragma once

#include <cstdint>
#include <vector>

#include "simt/runtime.h"

namespace convsmith::simt {

// A small fast generator (xorshift64*), so that a seed means the same order everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du) {
    if (state_ == 0) state_ = 1;
  }
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }
  uint64_t below(uint64_t bound) { return (next() >> 33) % bound; }

 private:
  uint64_t state_;
};

class ReadySet {
 public:
  void reset(const Schedule& schedule, int threads, uint64_t block);
  void add(int thread);
  int take();  // -1 when empty

 private:
  Policy policy_ = Policy::round_robin;
  Random random_{0};
  int favoured_warp_ = 0;
  std::vector<int> queue_;     // round_robin: a ring; random: a bag; skew: a stack of the others
  std::vector<int> favoured_;  // skew: a ring of the favoured warp's threads
  size_t head_ = 0, count_ = 0;
  size_t favoured_head_ = 0, favoured_count_ = 0;
};

}  // namespace convsmith::simt
