// The declarations of csrc/cpu/kernels for the instruction set that this unit is compiled for.
#pragma once

#include <cstdint>

#include "shapes.h"

namespace convsmith::cpu::CONVSMITH_ISA {
#include "cpu/kernel_declarations.inc"
}  // namespace convsmith::cpu::CONVSMITH_ISA
