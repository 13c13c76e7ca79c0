// Reads and prints: compiled at -O1.
#include "harness/validate/validate_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "harness/publish.hpp"
#include "harness/text_table.hpp"
#include "harness/validate/point_file.hpp"

namespace wb {
namespace {

std::string render(const TextTable& t, Format format, bool colour) {
    switch (format) {
        case Format::markdown: return t.markdown();
        case Format::csv: return t.csv();
        case Format::json: return t.json();
        case Format::latex: return t.latex();
        default: return t.terminal(colour);
    }
}

Cell percent(double v, bool with_sign = false) {
    if (!std::isfinite(v)) return {"-", v};
    return {with_sign ? fmt::format("{:+.1f} %", 100 * v) : fmt::format("{:.1f} %", 100 * v), v};
}

void add_rows(TextTable& t, const std::vector<ErrorSummary>& summaries) {
    for (const ErrorSummary& s : summaries)
        t.row({s.name,
               s.family,
               s.backend,
               {fmt::format("{}", s.n), static_cast<double>(s.n)},
               {fmt::format("{}", s.predicted), static_cast<double>(s.predicted),
                s.predicted < s.n ? Emphasis::caution : Emphasis::none},
               percent(s.median),
               percent(s.p90),
               percent(s.worst),
               s.worst_id,
               percent(s.bias, true),
               {std::isfinite(s.rank_correlation) ? fmt::format("{:.2f}", s.rank_correlation) : "-",
                s.rank_correlation}});
}

/// A cell must not part a row, nor look quoted.
std::string cell(std::string text) {
    for (char& c : text)
        if (c == ',' || c == '\n' || c == '\r')
            c = ';';
        else if (c == '"')
            c = '\'';
    return text;
}

nlohmann::json number(double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); }

nlohmann::json rows_of(const std::vector<ErrorSummary>& summaries) {
    nlohmann::json out = nlohmann::json::array();
    for (const ErrorSummary& s : summaries)
        out.push_back({{"name", s.name},
                       {"family", s.family},
                       {"backend", s.backend},
                       {"n", s.n},
                       {"predicted", s.predicted},
                       {"median_abs_error", number(s.median)},
                       {"p90_abs_error", number(s.p90)},
                       {"worst_abs_error", number(s.worst)},
                       {"worst_id", s.worst_id},
                       {"bias", number(s.bias)},
                       {"rank_correlation", number(s.rank_correlation)}});
    return out;
}

template <class T, class Row, class Get>
Column column(const char* name, const char* units, const char* about, const char* kind, const std::vector<Row>& rows,
              Get get) {
    std::vector<T> data;
    for (const Row& r : rows) data.push_back(get(r));
    return {name, units, about, kind, "none", std::move(data)};
}

Table points_table(const std::vector<Judged>& rows) {
    const auto text = [&](const char* name, const char* about, auto get) {
        return column<std::string>(name, "", about, "reference", rows, get);
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {
        "validation/points",
        "published measurements and what the backends say of them",
        {text("id", "of the published measurement", [](const Judged& r) { return r.point->id; }),
         text("system", "system file", [](const Judged& r) { return r.point->system; }),
         text("workload", "family", [](const Judged& r) { return r.point->workload; }),
         text("params", "key=value;key=value", [](const Judged& r) { return r.point->params_text; }),
         text("metric", "what was measured", [](const Judged& r) { return r.point->metric; }),
         text("unit", "of value and predicted", [](const Judged& r) { return r.point->unit; }),
         text("group", "rows of one source and method", [](const Judged& r) { return r.point->group; }),
         text("quality", "raw, table, claim or derived", [](const Judged& r) { return r.point->quality; }),
         text("source", "where it was published", [](const Judged& r) { return r.point->source; }),
         text("locator", "where in the source", [](const Judged& r) { return r.point->locator; }),
         text("backend", "who predicts", [](const Judged& r) { return r.backend; }),
         text("reason", "why not predicted, or what was assumed", [](const Judged& r) { return r.prediction.reason; }),
         column<double>("value", "as in unit", "published", "reference", rows,
                        [](const Judged& r) { return r.point->value; }),
         column<double>("predicted", "as in unit", "NaN: not predicted", "modelled", rows,
                        [nan](const Judged& r) { return r.prediction.known ? r.prediction.value : nan; }),
         column<double>("ratio", "1", "predicted / value", "derived", rows,
                        [nan](const Judged& r) { return r.prediction.known ? r.ratio() : nan; })}};
}

Table groups_table(const std::vector<ErrorSummary>& groups) {
    const auto text = [&](const char* name, const char* about, auto get) {
        return column<std::string>(name, "", about, "derived", groups, get);
    };
    const auto value = [&](const char* name, const char* about, auto get) {
        return column<double>(name, "1", about, "derived", groups, get);
    };
    return {
        "validation/groups",
        "errors of the backends by group of points",
        {text("name", "group", [](const ErrorSummary& s) { return s.name; }),
         text("family", "workload", [](const ErrorSummary& s) { return s.family; }),
         text("backend", "who predicts", [](const ErrorSummary& s) { return s.backend; }),
         value("n", "points", [](const ErrorSummary& s) { return static_cast<double>(s.n); }),
         value("predicted", "points predicted", [](const ErrorSummary& s) { return static_cast<double>(s.predicted); }),
         value("median_abs_error", "of |predicted / measured - 1|", [](const ErrorSummary& s) { return s.median; }),
         value("p90_abs_error", "90th percentile", [](const ErrorSummary& s) { return s.p90; }),
         value("worst_abs_error", "largest", [](const ErrorSummary& s) { return s.worst; }),
         value("bias", "median of predicted / measured - 1", [](const ErrorSummary& s) { return s.bias; }),
         value("rank_correlation", "Spearman", [](const ErrorSummary& s) { return s.rank_correlation; })}};
}

}  // namespace

std::string error_table(const std::vector<ErrorSummary>& groups, const std::vector<ErrorSummary>& families,
                        Format format, bool colour) {
    TextTable t({{"group"},
                 {"family"},
                 {"backend"},
                 {"n", Align::right},
                 {"predicted", Align::right},
                 {"median", Align::right, "error", "1"},
                 {"p90", Align::right, "error", "1"},
                 {"worst", Align::right, "error", "1"},
                 {"worst row"},
                 {"bias", Align::right, "", "1"},
                 {"rank", Align::right, "", "1"}});
    t.section("by group");
    add_rows(t, groups);
    t.section("by family");
    add_rows(t, families);
    return render(t, format, colour);
}

std::string reasons_table(const std::vector<Judged>& rows, Format format, bool colour) {
    struct Entry {
        std::size_t n = 0;
        std::string first;
    };
    std::map<std::pair<std::string, std::string>, Entry> reasons;  // backend, reason
    for (const Judged& r : rows) {
        if (r.prediction.known) continue;
        Entry& e = reasons[{r.backend, fmt::format("{}: {}", r.point->workload, r.prediction.reason)}];
        if (e.n++ == 0) e.first = r.point->id;
    }
    if (reasons.empty()) return "";
    TextTable t({{"backend"}, {"rows", Align::right}, {"first"}, {"not predicted, because"}});
    for (const auto& [key, e] : reasons)
        t.row({key.first, {fmt::format("{}", e.n), static_cast<double>(e.n)}, e.first, key.second});
    return render(t, format, colour);
}

std::string points_csv(const std::vector<Judged>& rows) {
    std::string out = fmt::format("{},backend,predicted,ratio,reason\n", point_columns);
    for (const Judged& r : rows) {
        const Point& p = *r.point;
        out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},", p.id, p.system, p.workload, p.params_text, p.metric,
                           p.value_text, p.unit, p.group, p.quality, p.source, p.locator, r.backend);
        out += r.prediction.known ? fmt::format("{:.10g},{:.6g},", r.prediction.value, r.ratio()) : ",,";
        out += cell(r.prediction.reason) + "\n";
    }
    return out;
}

std::string errors_json(const std::vector<ErrorSummary>& groups, const std::vector<ErrorSummary>& families) {
    return nlohmann::json{{"groups", rows_of(groups)}, {"families", rows_of(families)}}.dump(1) + "\n";
}

std::optional<std::string> validation_summary(const std::filesystem::path& path) {
    const Hdf5Reader file(path);
    if (!file.has("validation/points")) return std::nullopt;
    return fmt::format("{} predictions of published measurements in {} groups.", file.table("validation/points").rows(),
                       file.table("validation/groups").rows());
}

void write_validation(const std::filesystem::path& path, const std::vector<Judged>& rows,
                      const std::vector<ErrorSummary>& groups) {
    publish(path, [&](Hdf5Writer& w) {
        w.write(points_table(rows));
        w.write(groups_table(groups));
    });
}

}  // namespace wb
