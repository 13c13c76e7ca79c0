#pragma once

#include <cmath>
#include <fstream>
#include <sstream>

#include "core/system.hpp"
#include "harness/tco/study.hpp"

namespace sample {

inline wb::Files files() { return wb::Files({std::string(WB_SOURCE_DIR) + "/configs"}); }

inline std::string system_text(const std::string& id) {
    std::ifstream in(std::string(WB_SOURCE_DIR) + "/configs/systems/" + id + ".toml");
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

/// A decoding step of `batch` sequences that took `run_s`.
inline wb::Result decode(const std::string& system, int units, int batch, double run_s) {
    wb::Result r;
    r.workload = "decode";
    r.label = "decode llama batch=" + std::to_string(batch);
    r.params = "model=llama batch=" + std::to_string(batch) + " seq=128 dtype=16-bit";
    r.key = r.full_key =
        r.workload + " " + r.params + " | " + system + " units=" + std::to_string(units) + " | cluster";
    r.system = system;
    r.backend = "cluster";
    r.units = units;
    r.fingerprint = "f" + std::to_string(batch);
    r.flops = 1e12 * batch;
    r.m.key = r.key;
    r.m.kind = wb::Kind::modelled;
    r.m.band = {0.8, 1.25, "rows of published measurements"};
    r.m.samples_s = {run_s};
    return r;
}

inline wb::ResultSet set_of(std::vector<wb::Result> results) {
    wb::ResultSet set;
    wb::RunInfo run;
    for (const wb::Result& r : results) run.systems[r.system] = system_text(r.system);
    set.runs.push_back(run);
    set.results = std::move(results);
    return set;
}

inline wb::tco::Book book(const std::string& preset = "neocloud") { return wb::tco::Book::load(files(), preset); }

inline std::vector<double> modes(const wb::tco::Book& book) {
    std::vector<double> out;
    for (const wb::tco::Assumption& a : book.all()) out.push_back(a.mode);
    return out;
}

/// At the modes of a book with these settings.
inline wb::tco::Hourly hour(const std::vector<std::string>& settings, const std::string& device, wb::tco::Use use,
                            const std::string& preset = "neocloud") {
    wb::tco::Book b = book(preset);
    for (const std::string& s : settings) b.set(s);
    const std::vector<double> values = modes(b);
    return wb::tco::hourly_cost(wb::tco::bill_of(b, device), use, {values.data()});
}

inline double relative(double a, double b) { return std::abs(a / b - 1); }

}  // namespace sample
