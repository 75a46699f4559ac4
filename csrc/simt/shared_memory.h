// A block's shared memory: arrays of exact size, each between red zones, all NaN at the start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "simt/fault.h"

namespace convsmith::simt {

class SharedMemory {
 public:
  ~SharedMemory();

  void begin_block();
  // Frees the memory of earlier blocks: the end of a launch orders their threads before this one.
  void end_launch();
  // The array of this key; made at the first call. Aligned to 128 bytes.
  void* find_or_make(const void* key, size_t bytes, const char* name, const Site& site);

  bool holds(const void* address) const;
  // Empty when [address, address + bytes) lies in one array, else what is wrong.
  std::string outside(const void* address, size_t bytes) const;
  // The name of an array whose red zone was written to, or null.
  const char* overrun() const;
  size_t bytes() const { return bytes_; }

 private:
  struct Region {
    const void* key;
    const char* name;
    unsigned char* data;
    size_t bytes;
    unsigned char* end;  // of the red zone behind it
  };
  unsigned char* arena_ = nullptr;
  std::vector<unsigned char*> retired_;  // arenas of the blocks before, for the race checker
  size_t used_ = 0;
  size_t bytes_ = 0;
  std::vector<Region> regions_;
};

}  // namespace convsmith::simt
