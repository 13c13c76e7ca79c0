#include "harness/validate/validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <span>

#include "core/suggest.hpp"
#include "core/units.hpp"
#include "harness/progress.hpp"
#include "harness/publish.hpp"
#include "harness/signals.hpp"
#include "harness/validate/bands.hpp"
#include "harness/validate/case_maker.hpp"
#include "harness/validate/fitter.hpp"
#include "harness/validate/gates.hpp"
#include "harness/validate/point_file.hpp"
#include "harness/validate/unseen.hpp"
#include "harness/validate/validate_report.hpp"

namespace wb {
namespace {

std::vector<std::string> backend_names(const ValidateOptions& o, const BackendSet& backends) {
    for (const std::string& name : o.backends) backends.require(name, "--backend");
    if (!o.backends.empty()) return o.backends;
    std::vector<std::string> out;
    for (const std::string& name : backends.default_names(true)) {
        const Kind kind = backends.find(name)->kind();
        if (kind == Kind::modelled || kind == Kind::simulated || kind == Kind::emulated) out.push_back(name);
    }
    return out;
}

/// Those of the names whose business the point's machine is; all of them where it is nobody's.
std::vector<std::string> suited(const std::vector<std::string>& names, SystemKind kind, const BackendSet& backends) {
    std::vector<std::string> out;
    for (const std::string& name : names)
        if (backends.find(name)->suits(kind)) out.push_back(name);
    return out.empty() ? names : out;
}

void filter(std::vector<Point>& points, const std::string& pattern, const char* option,
            const std::string Point::*field) {
    if (pattern.empty()) return;
    std::vector<std::string> known;
    for (const Point& p : points)
        if (std::find(known.begin(), known.end(), p.*field) == known.end()) known.push_back(p.*field);
    std::erase_if(points, [&](const Point& p) { return !name_matches(pattern, p.*field); });
    if (points.empty())
        throw Error({option, fmt::format("no point has the {} {}", option + 2, in_quotes(pattern)),
                     "there is nothing to judge", did_you_mean(pattern, known)});
}

void write_file(const std::string& path, const std::string& text) {
    if (!path.empty()) replace_file(path, std::as_bytes(std::span(text)));
}

/// One line drawn over again on a terminal; nothing elsewhere.
class Counter {
public:
    Counter(std::size_t total, bool on) : total_(total), on_(on && stderr_sink().redraw) {}
    ~Counter() {
        if (on_) std::fputs("\r\x1b[K", stderr);
    }
    Counter(const Counter&) = delete;
    Counter& operator=(const Counter&) = delete;
    void next(const std::string& what) {
        ++done_;
        if (on_) fmt::print(stderr, "\r\x1b[K[{}/{}] {}", done_, total_, what);
    }

    std::size_t done() const { return done_; }

private:
    std::size_t total_, done_ = 0;
    bool on_;
};

double seconds_of(const std::string& text, const char* option) {
    try {
        return parse<Seconds>(text).si();
    } catch (const UnitProblem& p) {
        throw p.at(option);
    }
}

/// Rows with the factors that count for bands: those of fitted groups from fits that left them out.
std::vector<BandSample> band_samples(const std::vector<Judged>& rows, const BackendSet& backends, SystemBook& systems,
                                     const std::map<std::pair<std::string, std::string>, double>& left_out,
                                     const std::vector<FitSpec>& fits) {
    std::vector<BandSample> out;
    for (const Judged& r : rows) {
        const Kind kind = backends.find(r.backend)->kind();
        if (!r.prediction.known || r.point->sense() == Sense::amount || kind == Kind::bound || kind == Kind::measured)
            continue;
        const auto other = left_out.find({r.backend, r.point->id});
        const bool fitted = std::any_of(fits.begin(), fits.end(), [&](const FitSpec& f) { return f.uses(*r.point); });
        if (fitted && other == left_out.end()) continue;
        out.push_back({r.backend, std::string(name(systems.load(r.point->system)->kind)), r.point->workload,
                       r.point->group, r.point->system, fitted ? other->second : r.time_factor()});
    }
    return out;
}

std::string bands_file(const Files& files) {
    const std::string found = files.find("validation/bands.toml");
    return found.empty() ? files.roots().back() + "/validation/bands.toml" : found;
}

}  // namespace

Exit validate(const ValidateOptions& o, const Files& files, Comm& comm) {
    const Signals signals;
    const BackendSet backends;
    const std::vector<std::string> names = backend_names(o, backends);
    const double budget_s = seconds_of(o.budget, "--budget");
    const std::vector<Point> all = read_all_points(files, o.points, o.points_only);
    std::vector<Point> points = all;
    filter(points, o.group, "--group", &Point::group);
    filter(points, o.system, "--system", &Point::system);
    filter(points, o.workload, "--workload", &Point::workload);
    if (names.empty())
        throw Error({"validate", "no backend here models, simulates or emulates", "there is nothing to judge",
                     "Name one: --backend roofline."});
    SystemBook systems(files);
    CaseMaker make(files, systems, read_conditions(files));
    Predictor predictor(backends, comm, {[&signals] { return signals.asked(); }, {}}, {budget_s});
    std::vector<Judged> rows;
    {
        Counter counter(points.size(), !o.quiet && comm.rank() == 0);
        for (const Point& p : points) {
            counter.next(fmt::format("{} {}", p.group, p.id));
            const Question q = question_of(p, make);
            for (const std::string& name : suited(names, systems.load(p.system)->kind, backends))
                rows.push_back({&p, name, predictor.predict(q, name, all)});
            const Stop asked = signals.asked();
            if (comm.max(asked == Stop::none ? 0 : 1) > 0)
                throw Error({"validate", fmt::format("stopped after {} of {} points", counter.done(), points.size()),
                             "nothing was written", ""},
                            asked == Stop::terminate ? Exit::requeue : Exit::interrupted);
        }
    }
    if (comm.rank() != 0) return Exit::ok;
    const auto groups = summarise_groups(rows), families = summarise_groups(rows, true);
    write_file(o.csv, points_csv(rows));
    write_file(o.json, errors_json(groups, families));
    if (!o.out.empty()) write_validation(o.out, rows, groups);
    if (!o.quiet) {
        fmt::print("{}", error_table(groups, families, o.format, o.colour));
        const std::string reasons = reasons_table(rows, o.format, o.colour);
        if (!reasons.empty()) fmt::print("\n{}", reasons);
    }
    if (o.update_bands) {
        std::vector<FitSpec> fits = read_fits(files);
        Fitter fitter(systems, make, predictor, all, [&signals] {
            if (signals.asked() != Stop::none)
                throw Error({"validate", "interrupted", "the bands are as they were", ""}, Exit::interrupted);
        });
        std::erase_if(fits, [&](const FitSpec& f) { return f.awaited && !fitter.decided(f); });
        std::map<std::pair<std::string, std::string>, double> left_out;
        for (const FitSpec& spec : fits)
            if (std::find(names.begin(), names.end(), spec.backend) != names.end())
                left_out.merge(fitter.run(spec, names).left_out_factors);
        const std::vector<BandSample> seen = band_samples(rows, backends, systems, left_out, fits);
        const Bands bands = derive_bands(seen, unseen_samples(rows, seen, fits, systems, make, predictor, all));
        write_file(bands_file(files), bands.toml());
        fmt::print("wrote {}: {} bands, {} of unseen systems\n", bands_file(files), bands.rows().size(),
                   bands.unseen().size());
    }
    const std::vector<std::string> broken = breaches(read_gates(files), rows, all, backends);
    for (const std::string& sentence : broken) fmt::print(stderr, "waferbench: {}\n", sentence);
    return broken.empty() ? Exit::ok : Exit::regression;
}

}  // namespace wb
