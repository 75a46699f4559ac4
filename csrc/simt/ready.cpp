#include "simt/ready.h"

namespace convsmith::simt {

void ReadySet::reset(const Schedule& schedule, int threads, uint64_t block) {
  policy_ = schedule.policy;
  random_ = Random(schedule.seed * 0x10001u + block);
  const int warps = (threads + kWarp - 1) / kWarp;
  favoured_warp_ = static_cast<int>(random_.below(static_cast<uint64_t>(warps)));
  queue_.resize(static_cast<size_t>(threads));
  favoured_.resize(kWarp);
  head_ = count_ = favoured_head_ = favoured_count_ = 0;
}

void ReadySet::add(int thread) {
  switch (policy_) {
    case Policy::round_robin:
      queue_[(head_ + count_++) % queue_.size()] = thread;
      return;
    case Policy::skew:
      if (thread / kWarp == favoured_warp_) {
        favoured_[(favoured_head_ + favoured_count_++) % kWarp] = thread;
        return;
      }
      queue_[count_++] = thread;
      return;
    case Policy::random:
      queue_[count_++] = thread;
      return;
  }
}

int ReadySet::take() {
  if (favoured_count_ > 0) {
    const int thread = favoured_[favoured_head_];
    favoured_head_ = (favoured_head_ + 1) % kWarp;
    --favoured_count_;
    return thread;
  }
  if (count_ == 0) return -1;
  switch (policy_) {
    case Policy::round_robin: {
      const int thread = queue_[head_];
      head_ = (head_ + 1) % queue_.size();
      --count_;
      return thread;
    }
    case Policy::skew:
      return queue_[--count_];
    case Policy::random: {
      const auto chosen = static_cast<size_t>(random_.below(count_));
      const int thread = queue_[chosen];
      queue_[chosen] = queue_[--count_];
      return thread;
    }
  }
  return -1;
}

}  // namespace convsmith::simt
