// What a binding asks the GPU before any kernel runs. Plain C++, as types.h.
#pragma once

namespace convsmith::cuda {

// Throws unless the address is memory of the current GPU. Null only asks whether there is a GPU.
void check_memory(const char* op, const char* argument, const void* address);

}  // namespace convsmith::cuda
