// Warp operations: each lane leaves a slot; the last lane to arrive computes for all.
#include <cstring>

#include "simt/machine.h"
#include "simt/sanitizers.h"

namespace convsmith::simt {
namespace {

constexpr uint32_t kFullWarp = 0xffffffffu;

std::string hexadecimal(uint32_t mask) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) text += digits[mask >> shift & 15u];
  return text;
}

int lowest_lane(uint32_t mask) { return __builtin_ctz(mask); }

// The operation that this lane joins; made when it is the first to come.
WarpOperation& join(Warp& warp, const char* name, uint32_t mask, const Site& site) {
  const int self = machine().current;
  for (WarpOperation& pending : warp.pending) {
    if ((pending.mask & mask) == 0) continue;
    if (pending.mask == mask && std::strcmp(pending.name, name) == 0 &&
        pending.site.line == site.line && pending.site.file == site.file) {
      return pending;
    }
    fail(site, std::string("divergent warp: this thread comes to ") + name + " (lanes " +
                   hexadecimal(mask) + "), but thread " + std::to_string(pending.first) +
                   " of its warp waits in " + pending.name + " (lanes " +
                   hexadecimal(pending.mask) + ") at " + to_text(pending.site));
  }
  warp.pending.push_back({name, site, mask, 0, self, {}});
  return warp.pending.back();
}

struct ShuffleSlot {
  Shuffle kind;
  int argument;
  uint64_t given, received;
};

// Which lane to read from; the lane itself where the hardware gives back the own value.
int source_lane(const ShuffleSlot& slot, int lane) {
  switch (slot.kind) {
    case Shuffle::exclusive_or:
      return lane ^ slot.argument;
    case Shuffle::down:
      return lane + slot.argument > kWarp - 1 ? lane : lane + slot.argument;
    case Shuffle::from:
      return slot.argument;
  }
  return lane;
}

void compute_shuffle(void* const* slots) {
  for (int lane = 0; lane < kWarp; ++lane) {
    auto* slot = static_cast<ShuffleSlot*>(slots[lane]);
    slot->received = static_cast<ShuffleSlot*>(slots[source_lane(*slot, lane)])->given;
  }
}

struct BallotSlot {
  bool predicate;
  uint32_t votes;
};

void compute_ballot(void* const* slots) {
  uint32_t votes = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if (static_cast<BallotSlot*>(slots[lane])->predicate) votes |= 1u << lane;
  }
  for (int lane = 0; lane < kWarp; ++lane) static_cast<BallotSlot*>(slots[lane])->votes = votes;
}

void compute_nothing(void* const*) {}

}  // namespace

void warp_operation(const char* name, uint32_t mask, void* slot, void (*compute)(void* const*),
                    const Site& site) {
  Machine& m = machine();
  const int lane = m.current % kWarp;
  const int warp_first = m.current - lane;
  Warp& warp = m.warps[static_cast<size_t>(m.current / kWarp)];
  m.running().site = site;
  if ((mask >> lane & 1u) == 0) {
    fail(site, std::string(name) + ": lanes " + hexadecimal(mask) + " do not include this lane, " +
                   std::to_string(lane));
  }
  if ((mask & ~warp.lanes) != 0) {
    fail(site, std::string(name) + ": absent lane: lane " +
                   std::to_string(lowest_lane(mask & ~warp.lanes)) +
                   " takes part, but the block has only " + std::to_string(m.thread_count) +
                   " threads");
  }
  if ((mask & warp.left) != 0) {
    fail(site, std::string(name) + ": absent lane: lane " +
                   std::to_string(lowest_lane(mask & warp.left)) +
                   " takes part, but its thread has left the kernel");
  }
  WarpOperation& operation = join(warp, name, mask, site);
  operation.slots[lane] = slot;
  operation.arrived |= 1u << lane;
  if (operation.arrived != mask) {
    wait(name, site);
    return;
  }
  compute(operation.slots);
  warp.pending.erase(warp.pending.begin() + (&operation - warp.pending.data()));
  for (int other = 0; other < kWarp; ++other) {
    if ((mask >> other & 1u) != 0 && other != lane) wake(warp_first + other);
  }
}

void sync_warp(uint32_t mask, const Site& site) {
  Machine& m = machine();
  Warp& warp = m.warps[static_cast<size_t>(m.current / kWarp)];
  void* const race_point = &warp.race_points[machine().set][warp.phase];
  race_release(race_point);
  const auto phase = warp.phase;
  warp_operation("sync_warp", mask, nullptr, compute_nothing, site);
  if (warp.phase == phase) warp.phase ^= 1;
  race_acquire(race_point);
}

uint64_t shuffle(Shuffle kind, uint64_t bits, int argument, const Site& site) {
  constexpr const char* names[] = {"shuffle_xor", "shuffle_down", "shuffle"};
  const char* name = names[static_cast<int>(kind)];
  if (argument < 0 || argument >= kWarp) {
    fail(site,
         std::string(name) + ": absent lane: got " + std::to_string(argument) + ", wanted 0 to 31");
  }
  ShuffleSlot slot{kind, argument, bits, 0};
  warp_operation(name, kFullWarp, &slot, compute_shuffle, site);
  return slot.received;
}

uint32_t ballot(const char* name, bool predicate, const Site& site) {
  BallotSlot slot{predicate, 0};
  warp_operation(name, kFullWarp, &slot, compute_ballot, site);
  return slot.votes;
}

}  // namespace convsmith::simt
