// Reads and prints: compiled at -O1.
#include "harness/scaling_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <string_view>
#include <vector>

#include "core/units.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

using Group = std::vector<const Result*>;

/// What shares the work, and what stays the same meanwhile.
struct Workers {
    const char* name;
    int Result::*count;
    int Result::*other;
};
constexpr Workers ranks{"ranks", &Result::ranks, &Result::threads},
    threads{"threads", &Result::threads, &Result::ranks};

/// What makes runs comparable, whatever their sizes and workers: the words among the parameters, not the numbers.
std::string kin(const Result& r, const Workers& by) {
    std::string out = fmt::format("{} {} {} {} {}", r.workload, r.system, r.backend, r.mesh, r.*by.other);
    std::istringstream words(r.params);
    for (std::string word; words >> word;) {
        const std::size_t value = word.find('=') + 1;
        if (word.find_first_not_of("0123456789.", value) != std::string::npos) out += " " + word;
    }
    return out;
}

double work(const Result& r) { return r.flops > 0 ? r.flops : r.compulsory_bytes; }

bool several(const Group& g, const Workers& by) {
    return std::any_of(g.begin(), g.end(), [&](const Result* r) { return r->*by.count != g.front()->*by.count; });
}

void add_rows(TextTable& t, const std::string& title, Group g, const Workers& by) {
    std::stable_sort(g.begin(), g.end(), [&](const Result* x, const Result* y) { return x->*by.count < y->*by.count; });
    t.section(title);
    const double base = work(*g.front()) / g.front()->median_s(), fewest = g.front()->*by.count;
    for (const Result* r : g) {
        const double s = r->median_s(), speedup = work(*r) / s / base, efficiency = speedup * fewest / (r->*by.count);
        double time = 0, exposed = 0;
        for (const CommUse& u : r->m.communication) time += u.time.si(), exposed += u.exposed.si();
        t.row({{fmt::format("{}", r->*by.count), static_cast<double>(r->*by.count)},
               r->label,
               {format(Seconds(s)), s},
               {fmt::format("{:.2f}x", speedup), speedup},
               {fmt::format("{:.0f} %", 100 * efficiency), efficiency},
               {fmt::format("{:.1f} %", 100 * time / s), time},
               {fmt::format("{:.1f} %", 100 * exposed / s), exposed}});
    }
}

/// Says so where workers had to share processors: their efficiency is the machine's, not the program's.
std::string crowd_note(const std::map<std::string, Group>& groups, const Workers& by) {
    int least = 0;
    for (const auto& [key, group] : groups)
        for (const Result* r : group)
            if (is_crowded(*r) && (least == 0 || r->*by.count < least)) least = r->*by.count;
    if (least == 0) return "";
    return fmt::format("\nFrom {} {} on they took turns on the processors: their efficiency tells nothing.\n", least,
                       by.name);
}

std::string show_by(const Workers& by, const ResultSet& set, Format format, bool colour, const std::string& filter) {
    TextTable t({{by.name, Align::right, "", "1"},
                 {"workload"},
                 {"time", Align::right, "", "s"},
                 {"speed-up", Align::right, "", "1"},
                 {"efficiency", Align::right, "", "1"},
                 {"communication", Align::right, "", "s"},
                 {"exposed", Align::right, "", "s"}});
    std::map<std::string, Group> strong, weak;
    for (const Result& r : set.results) {
        if (r.m.kind != Kind::measured || r.m.status != Status::ok || r.m.samples_s.empty() || work(r) <= 0) continue;
        if (r.*by.count < 1) continue;  // all threads: how many is not told
        if (!filter.empty() && r.key.find(filter) == std::string::npos) continue;
        strong[kin(r, by) + " " + r.fingerprint].push_back(&r);
        // Shares that differ by rounding are the same: 2 % steps.
        weak[kin(r, by) + fmt::format(" {:.0f}", 50 * std::log(work(r) / (r.*by.count)))].push_back(&r);
    }
    const auto title = [&](const char* how, const Result& r) {
        return fmt::format("{} scaling{}: {} on {}{}, {}", how, &by == &threads ? " over threads" : "", r.workload,
                           r.system, r.mesh.empty() ? "" : " " + r.mesh, r.backend);
    };
    for (const auto& [key, group] : strong)
        if (several(group, by)) add_rows(t, title("strong", *group.front()), group, by);
    for (const auto& [key, group] : weak)
        if (several(group, by)) add_rows(t, title("weak", *group.front()), group, by);
    if (t.empty()) return "";
    if (format == Format::latex) return t.latex();
    return (format == Format::markdown ? t.markdown() : t.terminal(colour)) + crowd_note(strong, by);
}

constexpr std::string_view crowd_mark = ": they take turns";

}  // namespace

std::string crowd_warning(int ranks, int threads, int cpus) {
    if (ranks * threads <= cpus) return "";
    return fmt::format("{} rank{} of {} thread{} on {} processor{}{}", ranks, ranks == 1 ? "" : "s", threads,
                       threads == 1 ? "" : "s", cpus, cpus == 1 ? "" : "s", crowd_mark);
}

bool is_crowded(const Result& r) {
    return std::any_of(r.m.warnings.begin(), r.m.warnings.end(),
                       [](const std::string& w) { return w.find(crowd_mark) != std::string::npos; });
}

std::string show_scaling(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    std::string out = show_by(ranks, set, format, colour, filter);
    const std::string more = show_by(threads, set, format, colour, filter);
    if (!out.empty() && !more.empty()) out += "\n";
    return out + more;
}

}  // namespace wb
