// Which instruction set the kernels run with: chosen once from the processor, or by the
// environment variable CONVSMITH_ISA (generic, avx2, avx512), or by set_isa in tests.
#pragma once

#include <string>
#include <vector>

namespace convsmith::cpu {

enum class Isa { generic, avx2, avx512 };

Isa active_isa();
std::string isa_name(Isa isa);
std::vector<std::string> available_isas();  // fastest last
void set_isa(const std::string& name);      // std::invalid_argument when unknown or not available

}  // namespace convsmith::cpu
