// The table of contents of csrc/cuda: what the device modules offer. NHWC, C-contiguous, T is
// float, float16 or bfloat16 (storage; accumulation is float); outputs are allocated by the caller
// and fully written. Arguments have been checked by the binding. No CUDA header here: bindings
// include this file.
#pragma once

#include <cstdint>

#include "cuda/types.h"
#include "shapes.h"

namespace convsmith::cuda {

// elementwise.cu
template <class T>
void add(int64_t size, const T* a, const T* b, T* y, Stream stream);

}  // namespace convsmith::cuda
