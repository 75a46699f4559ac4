// Global memory for kernels under test: the end lies against unmapped pages, so a read or write
// past it stops there; what little lies around the data is watched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "simt/fault.h"

namespace convsmith::simt {

class GuardedBlock {
 public:
  // `bytes` of 0xFF (NaN in every float type) at an address that is `offset` modulo 16.
  GuardedBlock(size_t bytes, const char* name, size_t offset = 0);
  ~GuardedBlock();
  GuardedBlock(const GuardedBlock&) = delete;
  GuardedBlock& operator=(const GuardedBlock&) = delete;

  void* data() const { return data_; }
  void make_read_only();  // a write then is a fault

  bool holds(const void* address) const;  // within the mapped pages
  bool intact() const;                    // nothing was written beside the data
  std::string describe(const void* address) const;
  size_t bytes() const { return bytes_; }
  const char* name() const { return name_; }

 private:
  unsigned char* pages_;
  size_t page_bytes_;  // mapped; unmapped pages lie on both sides
  unsigned char* data_;
  size_t bytes_;
  const char* name_;
};

// Where an address lies relative to the blocks alive; empty when near none of them.
std::string describe_address(const void* address);
// Faults when [address, address + bytes) begins in a block's pages and is not wholly its data.
void check_guarded(const char* what, const void* address, size_t bytes, const Site& site);
// Faults when something was written beside the data of a block.
void check_guard_bands();

}  // namespace convsmith::simt
