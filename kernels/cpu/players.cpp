#include "kernels/cpu/players.hpp"

#include "kernels/cpu/energy.hpp"
#include "kernels/cpu/gemm.hpp"

namespace wb::cpu {

std::optional<Joules> CpuPlayers::energy() const { return package_energy(); }
std::vector<MemoryUse> CpuPlayers::memory() const { return process_memory(); }
std::vector<double> CpuPlayers::choices() const { return gemm_choices(); }
void CpuPlayers::adopt(const std::vector<double>& found) { adopt_gemm_choices(found); }

}  // namespace wb::cpu
