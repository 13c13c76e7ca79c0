#include "harness/result_rows.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace wb {
namespace {

[[noreturn]] void no_such_case(const std::string& place, const char* table) {
    throw Error({place, fmt::format("/{} has rows of a case or series that is not there", table),
                 "the file is damaged or of another schema", ""},
                Exit::baseline);
}

/// Puts the boxes of timelines back into the cases whose records came without them.
void read_spans(const Hdf5Reader& file, const std::string& place, ResultSet& set) {
    if (!file.has("spans/op")) return;  // before schema 1.4 records had all
    const Table t = file.table("spans");
    const auto &of = values<std::int64_t>(t, "case_id"), &op = values<std::int64_t>(t, "op");
    const auto &phase = values<std::string>(t, "phase"), &resource = values<std::string>(t, "resource");
    const auto &start = values<double>(t, "start_s"), &duration = values<double>(t, "duration_s"),
               &bytes = values<double>(t, "bytes"), &flops = values<double>(t, "flops");
    for (std::size_t i = 0; i < of.size(); ++i) {
        const auto at = static_cast<std::size_t>(of[i]);
        if (at >= set.results.size()) no_such_case(place, "spans");
        set.results[at].m.spans.push_back({static_cast<int>(op[i]), resource[i], phase[i], Seconds(start[i]),
                                           Seconds(duration[i]), Bytes(bytes[i]), Flops(flops[i])});
    }
}

void read_series(const Hdf5Reader& file, const std::string& place, ResultSet& set) {
    if (!file.has("series/number")) return;
    const Table t = file.table("series");
    const auto &of = values<std::int64_t>(t, "case_id"), &number = values<std::int64_t>(t, "number");
    const auto &at = values<double>(t, "at"), &value = values<double>(t, "value");
    for (std::size_t i = 0; i < of.size(); ++i) {
        const auto id = static_cast<std::size_t>(of[i]), n = static_cast<std::size_t>(number[i]);
        if (id >= set.results.size() || n >= set.results[id].m.series.size()) no_such_case(place, "series");
        Series& s = set.results[id].m.series[n];
        s.at.push_back(at[i]);
        s.values.push_back(value[i]);
    }
}

}  // namespace

Result brief(Result r) {
    r.m.spans.clear();
    for (Series& s : r.m.series) s.at.clear(), s.values.clear();
    return r;
}

void read_rows(const Hdf5Reader& file, const std::string& place, ResultSet& set) {
    read_spans(file, place, set);
    read_series(file, place, set);
}

}  // namespace wb
