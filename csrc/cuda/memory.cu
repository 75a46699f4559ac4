// Whose memory an argument is. Not for simt, whose arrays are NumPy's.
#ifndef CONVSMITH_SIMT
#include "cuda/memory.h"

#include "check.h"
#include "cuda/device.cuh"

namespace convsmith::cuda {

void check_memory(const char* op, const char* argument, const void* address) {
  const Whereabouts found = Whereabouts::of(op, address);
  if (address == nullptr) return;
  CONVSMITH_CHECK(found.on_gpu, op << ": " << argument
                                   << ": got an address that is not memory of a GPU, wanted "
                                      "device memory; copy the array to GPU "
                                   << found.current);
  CONVSMITH_CHECK(found.device == found.current, op << ": " << argument << ": got an array on GPU "
                                                    << found.device << ", wanted one on GPU "
                                                    << found.current << ", the current device");
}

}  // namespace convsmith::cuda
#endif
