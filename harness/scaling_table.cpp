// Reads and prints: compiled at -O1.
#include "harness/scaling_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>
#include <vector>

#include "core/units.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

using Group = std::vector<const Result*>;

/// What makes runs comparable, whatever their sizes and ranks: the words among the parameters, not the numbers.
std::string kin(const Result& r) {
    std::string out = fmt::format("{} {} {} {} {}", r.workload, r.system, r.backend, r.mesh, r.threads);
    std::istringstream words(r.params);
    for (std::string word; words >> word;) {
        const std::size_t value = word.find('=') + 1;
        if (word.find_first_not_of("0123456789.", value) != std::string::npos) out += " " + word;
    }
    return out;
}

double work(const Result& r) { return r.flops > 0 ? r.flops : r.compulsory_bytes; }

bool several_ranks(const Group& g) {
    return std::any_of(g.begin(), g.end(), [&](const Result* r) { return r->ranks != g.front()->ranks; });
}

void add_rows(TextTable& t, const std::string& title, Group g) {
    std::stable_sort(g.begin(), g.end(), [](const Result* x, const Result* y) { return x->ranks < y->ranks; });
    t.section(title);
    const double base = work(*g.front()) / g.front()->median_s(), fewest = g.front()->ranks;
    for (const Result* r : g) {
        const double s = r->median_s(), speedup = work(*r) / s / base, efficiency = speedup * fewest / r->ranks;
        double time = 0, exposed = 0;
        for (const CommUse& u : r->m.communication) time += u.time.si(), exposed += u.exposed.si();
        t.row({{fmt::format("{}", r->ranks), static_cast<double>(r->ranks)},
               r->label,
               {format(Seconds(s)), s},
               {fmt::format("{:.2f}x", speedup), speedup},
               {fmt::format("{:.0f} %", 100 * efficiency), efficiency},
               {fmt::format("{:.1f} %", 100 * time / s), time},
               {fmt::format("{:.1f} %", 100 * exposed / s), exposed}});
    }
}

}  // namespace

std::string show_scaling(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    TextTable t({{"ranks", Align::right, "", "1"},
                 {"workload"},
                 {"time", Align::right, "", "s"},
                 {"speed-up", Align::right, "", "1"},
                 {"efficiency", Align::right, "", "1"},
                 {"communication", Align::right, "", "s"},
                 {"of it exposed", Align::right, "", "s"}});
    std::map<std::string, Group> strong, weak;
    for (const Result& r : set.results) {
        if (r.m.kind != Kind::measured || r.m.status != Status::ok || r.m.samples_s.empty() || work(r) <= 0) continue;
        if (!filter.empty() && r.key.find(filter) == std::string::npos) continue;
        strong[kin(r) + " " + r.fingerprint].push_back(&r);
        // Shares that differ by rounding are the same: 2 % steps.
        weak[kin(r) + fmt::format(" {:.0f}", 50 * std::log(work(r) / r.ranks))].push_back(&r);
    }
    const auto title = [](const char* how, const Result& r) {
        return fmt::format("{} scaling: {} on {}{}, {}", how, r.workload, r.system, r.mesh.empty() ? "" : " " + r.mesh,
                           r.backend);
    };
    for (const auto& [key, group] : strong)
        if (several_ranks(group)) add_rows(t, title("strong", *group.front()), group);
    for (const auto& [key, group] : weak)
        if (several_ranks(group)) add_rows(t, title("weak", *group.front()), group);
    if (t.empty()) return "";
    if (format == Format::latex) return t.latex();
    return format == Format::markdown ? t.markdown() : t.terminal(colour);
}

}  // namespace wb
