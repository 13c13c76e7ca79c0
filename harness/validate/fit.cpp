#include "harness/validate/fit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <span>
#include <sstream>

#include "core/suggest.hpp"
#include "core/units.hpp"
#include "harness/publish.hpp"
#include "harness/signals.hpp"
#include "harness/text_table.hpp"
#include "harness/validate/fitter.hpp"
#include "harness/validate/point_file.hpp"
#include "harness/validate/toml_edit.hpp"

namespace wb {
namespace {

std::vector<FitSpec> chosen_fits(const FitOptions& o, const Files& files) {
    const std::vector<std::string> known = files.names("systems", ".toml");
    for (const std::string& id : o.systems)
        if (std::find(known.begin(), known.end(), id) == known.end())
            throw Error({"fit", fmt::format("there is no system {}", in_quotes(id)), "", did_you_mean(id, known)});
    std::vector<FitSpec> out;
    for (const FitSpec& f : read_fits(files))
        if (o.systems.empty() || std::any_of(f.systems.begin(), f.systems.end(), [&](const std::string& s) {
                return std::find(o.systems.begin(), o.systems.end(), s) != o.systems.end();
            }))
            out.push_back(f);
    if (out.empty())
        throw Error({"fit",
                     o.systems.empty() ? "configs/validation/fits.toml lists no fit" : "no fit is listed for these",
                     "there is nothing to derive", ""});
    return out;
}

std::string percent(double v) { return std::isfinite(v) ? fmt::format("{:.1f} %", 100 * v) : "-"; }

std::string errors(const ErrorSummary& s) {
    return fmt::format("median {}, p90 {}, worst {}{}", percent(s.median), percent(s.p90), percent(s.worst),
                       s.worst_id.empty() ? "" : " (" + s.worst_id + ")");
}

void print_fit(const FitSpec& spec, const FitResult& r, const FitOptions& o) {
    fmt::print("{} ({}): {} points, {} constants, by {} |log error|\n", spec.name, spec.backend, r.points.size(),
               spec.constants.size(), spec.objective);
    fmt::print("  as stored:   {}\n  in sample:   {}\n", errors(r.as_stored), errors(r.in_sample));
    if (r.parts > 0) fmt::print("  left out:    {} ({} parts)\n", errors(r.left_out), r.parts);
    TextTable t({{"constant"},
                 {"stored", Align::right},
                 {"fitted", Align::right},
                 {"change", Align::right},
                 {"without one part", Align::right}});
    for (std::size_t i = 0; i < spec.constants.size(); ++i) {
        const double stored = r.stored[i], fitted = r.fitted[i];
        t.row(
            {spec.constants[i].text(),
             {fmt::format("{:.5g}", stored), stored},
             {fmt::format("{:.5g}", fitted), fitted},
             stored == 0 ? Cell("") : Cell(fmt::format("{:+.2f} %", 100 * (fitted / stored - 1)), fitted / stored - 1),
             fmt::format("{:.4g} .. {:.4g}", r.lowest[i], r.highest[i])});
    }
    fmt::print("{}\n", o.format == Format::markdown ? t.markdown()
                       : o.format == Format::csv    ? t.csv()
                       : o.format == Format::json   ? t.json()
                       : o.format == Format::latex  ? t.latex()
                                                    : t.terminal(o.colour));
}

std::string slurp(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void write_constants(const FitSpec& spec, const FitResult& r, const Files& files, SystemBook& systems) {
    for (const std::string& id : spec.systems) {
        const std::string path = files.find("systems/" + id + ".toml");
        std::string text = slurp(path);
        for (std::size_t i = 0; i < spec.constants.size(); ++i) {
            const FitSpec::Constant& c = spec.constants[i];
            text = with_constant(text, path, c.table, c.key + (c.alternative.empty() ? "" : "." + c.alternative),
                                 systems.constant(c.in(id)).value, r.fitted[i]);
        }
        parse_system(text, path, id);  // refuse to write what could not be read back
        replace_file(path, std::as_bytes(std::span(text)));
        fmt::print("wrote {}\n", path);
    }
}

/// A line for each system with constants that nothing derives; true if there are any.
bool print_underived(const std::vector<ConstantName>& constants) {
    std::map<std::string, std::string> lines;
    for (const ConstantName& c : constants) {
        std::string& line = lines[c.system];
        line += (line.empty() ? "" : ", ") + c.key;
    }
    for (const auto& [system, keys] : lines)
        fmt::print("{}: called fitted, but no entry of configs/validation/fits.toml derives {}\n", system, keys);
    return !lines.empty();
}

}  // namespace

Exit fit(const FitOptions& o, const Files& files, Comm& comm) {
    if (comm.rank() != 0) return Exit::ok;  // models are asked on one rank
    const BackendSet backends;
    const std::vector<FitSpec> fits = chosen_fits(o, files);
    const std::vector<Point> points = read_all_points(files, o.points);
    const Signals signals;
    const auto alone = single_process();
    SystemBook systems(files);
    CaseMaker make(files, systems, read_conditions(files));
    double budget_s = 0;
    try {
        budget_s = parse<Seconds>(o.budget).si();
    } catch (const UnitProblem& p) {
        throw p.at("--budget");
    }
    Predictor predictor(backends, *alone, {[&signals] { return signals.asked(); }, {}}, {budget_s});
    Fitter fitter(systems, make, predictor, points, [&signals] {
        if (signals.asked() != Stop::none)
            throw Error({"fit", "interrupted", "nothing of the fit in hand was written", ""}, Exit::interrupted);
    });
    for (const FitSpec& spec : fits) {
        backends.require(spec.backend, spec.where);
        if (spec.awaited && !fitter.decided(spec)) {
            fmt::print("{} ({}): not yet measured; --points FILE.h5 of a run there\n\n", spec.name, spec.backend);
            continue;
        }
        const FitResult r = fitter.run(spec);
        print_fit(spec, r, o);
        if (o.write) write_constants(spec, r, files, systems);
        std::fflush(stdout);
    }
    return print_underived(underived(read_fits(files), files)) ? Exit::regression : Exit::ok;
}

}  // namespace wb
