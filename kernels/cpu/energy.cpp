#include "kernels/cpu/energy.hpp"

#include <filesystem>
#include <fstream>

namespace wb::cpu {

std::optional<Joules> package_energy(const std::string& root) {
    std::error_code ignored;
    std::optional<Joules> sum;
    for (const auto& zone : std::filesystem::directory_iterator(root, ignored)) {
        const std::string name = zone.path().filename();  // intel-rapl:0 is a package, intel-rapl:0:0 a part of one
        if (!name.starts_with("intel-rapl:") || name.find(':', 11) != std::string::npos) continue;
        double microjoules = 0;
        if (std::ifstream(zone.path() / "energy_uj") >> microjoules)
            sum = sum.value_or(Joules(0)) + Joules(1e-6 * microjoules);
    }
    return sum;
}

}  // namespace wb::cpu
