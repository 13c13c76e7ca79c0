#pragma once

#include <fmt/core.h>

#include <unistd.h>
#include <algorithm>
#include <optional>
#include <string>

#include "core/system.hpp"

/// Rows of the table that `scripts/cpu_figures` prints: one program measures threads, another ranks.
namespace wb::cpu {

/// What this host was seen to reach at best, as its description stores it; nothing without a description.
class HostCeilings {
public:
    HostCeilings() = default;
    /// `file`: a description of this host, as `waferbench describe host` leaves it in the cache.
    explicit HostCeilings(const std::string& file) : host_(load_system(file)) {}

    /// `key` as "gemm_f32": a share of it for so many of this machine's processors.
    std::optional<double> of(const std::string& key, int workers) const {
        if (!host_) return {};
        const auto at = host_->measured.find(key);
        if (at == host_->measured.end()) return {};
        const double all = static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN));
        return at->second.value * std::min(1.0, workers / all);
    }

private:
    std::optional<System> host_;
};

/// One row: rates in 1e9 a second, 0 where there is none.
struct Figure {
    std::string what, type, workers;
    double ours = 0, onednn = 0, openblas = 0, scalapack = 0;
    double against_best = 0;  ///< median ratio of neighbouring runs to the fastest peer
    std::optional<double> ceiling = {};
    std::string how = {};
};

inline void print_head(const std::string& unit) {
    fmt::print("{:24}{:6}{:11}{:>9}{:>9}{:>10}{:>11}{:>10}{:>10}{:>9}  {}\n", unit, "type", "", "cpu", "oneDNN",
               "OpenBLAS", "ScaLAPACK", "of best", "ceiling", "of it", "how");
}

inline void print(const Figure& f) {
    const auto rate = [](double r) { return r > 0 ? fmt::format("{:.1f}", r) : std::string("-"); };
    const double ceiling = f.ceiling.value_or(0) / 1e9;
    fmt::print("{:24}{:6}{:11}{:>9}{:>9}{:>10}{:>11}{:>10}{:>10}{:>9}  {}\n", f.what, f.type, f.workers, rate(f.ours),
               rate(f.onednn), rate(f.openblas), rate(f.scalapack),
               f.against_best > 0 ? fmt::format("{:.2f}", f.against_best) : "-", rate(ceiling),
               ceiling > 0 ? fmt::format("{:.0f} %", 100 * f.ours / ceiling) : "-", f.how);
    std::fflush(stdout);
}

}  // namespace wb::cpu
