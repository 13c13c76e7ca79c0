// Reads and prints: compiled at -O1.
#include "harness/result_file.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "harness/journal.hpp"
#include "harness/publish.hpp"
#include "harness/result_rows.hpp"
#include "harness/result_tables.hpp"

namespace wb {
namespace {

void write_heat_maps(Hdf5Writer& w, const ResultSet& set) {
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (const Grid& g : r.m.grids) {
            // Grids of one case share their axes only where they have the same shape.
            const bool same = g.rows == r.m.grids.front().rows && g.columns == r.m.grids.front().columns;
            const std::vector<std::string> axes =
                same ? std::vector<std::string>{"row", "column"}
                     : std::vector<std::string>{"row_of_" + g.name, "column_of_" + g.name};
            w.write(Array{heat_map_path(id, g),
                          g.unit,
                          g.about,
                          "by case, see cases/kind",
                          "none",
                          axes,
                          {static_cast<std::size_t>(g.rows), static_cast<std::size_t>(g.columns)},
                          g.values,
                          {}});
        }
        ++id;
    }
}

}  // namespace

void write_results(const std::filesystem::path& path, const ResultSet& set) {
    publish(path, [&](Hdf5Writer& w) {
        const RunInfo info = set.runs.empty() ? RunInfo{} : set.runs.back();
        w.attribute("creator", std::string("waferbench"));
        w.attribute("run_uuid", info.run_id);
        w.attribute("date", info.date);
        w.attribute("title", info.title.empty() ? std::string("waferbench results") : info.title);
        w.attribute("default", std::string("cases"));
        for (const MakeTable table : result_tables())
            if (const Table t = table(set); !t.columns.empty()) w.write(t);  // one at a time: they are large
        write_heat_maps(w, set);
        w.text("provenance/config_toml", info.config_toml, "experiment file, verbatim");
        w.text("provenance/command", info.command, "command line");
        w.text("provenance/environment_before", info.environment_before, "JSON: the machine when the run began");
        w.text("provenance/environment_after", info.environment_after, "JSON: the machine when it ended");
        w.text("provenance/build", info.build_json, "JSON: version, compiler, flags, libraries, git revision");
        w.text("provenance/mpi", info.mpi, "MPI library and ranks");
        for (const RunInfo& i : set.runs)
            for (const auto& [id, text] : i.systems)
                if (&i == &set.runs.back()) w.text("provenance/system_" + id, text, "system file, verbatim");
    });
}

ResultSet read_results(const std::filesystem::path& path) {
    if (path.extension() == ".journal") return from_records(read_journal(path).payloads, path.string());
    const Hdf5Reader file(path);
    const Table records = file.table("records");
    ResultSet set = from_records(values<std::string>(records, "json"), path.string());
    read_rows(file, path.string(), set);
    return set;
}

}  // namespace wb
