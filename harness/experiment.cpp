// Reads and prints: compiled at -O1.
#include "harness/experiment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <functional>
#include <set>

#include "core/suggest.hpp"
#include "core/tables.hpp"
#include "harness/emulation_choice.hpp"

namespace wb {
namespace {

constexpr const char* unit_keys[] = {"units", "gpus", "wafers", "chips", "devices", "sockets"};

ParamValue scalar(const Value& v) {
    if (const auto* i = v.as<std::int64_t>()) return *i;
    if (const auto* d = v.as<double>()) return *d;
    if (const auto* b = v.as<bool>()) return *b;
    if (const auto* s = v.as<std::string>()) return *s;
    throw Error({v.where, fmt::format("{} is no value of a parameter", to_text(v)),
                 "an axis is a number, a text, true or false, or a list of them", ""});
}

bool parse_int(std::string_view text, std::int64_t& out) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    const auto r = std::from_chars(text.data(), text.data() + text.size(), out);
    return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

std::vector<ParamValue> range_values(const std::string& s, const std::string& where) {
    const auto bad = [&](const std::string& why) {
        return Error({where, fmt::format("\"{}\" is no range", s), why,
                      "Write \"range(1024, 8192, x2)\" or \"range(0, 10, +5)\"."});
    };
    const std::size_t close = s.rfind(')');
    if (close == std::string::npos || close + 1 != s.size()) throw bad("the closing bracket is missing");
    std::vector<std::string> parts;
    std::string part;
    for (char c : s.substr(6, close - 6)) {
        if (c == ',')
            parts.push_back(part), part.clear();
        else
            part += c;
    }
    parts.push_back(part);
    std::int64_t first = 0, last = 0, step = 1;
    if (parts.size() < 2 || parts.size() > 3 || !parse_int(parts[0], first) || !parse_int(parts[1], last))
        throw bad("it has a first value, a last value and a step");
    bool times = false;
    if (parts.size() == 3) {
        std::string p = parts[2];
        p.erase(0, p.find_first_not_of(' '));
        times = !p.empty() && p[0] == 'x';
        if (!p.empty() && (p[0] == 'x' || p[0] == '+')) p.erase(0, 1);
        if (!parse_int(p, step)) throw bad("its step is +n or xn");
    }
    if (step < (times ? 2 : 1) || last < first || (times && first < 1)) throw bad("it never arrives at its end");
    std::vector<ParamValue> out;
    for (std::int64_t v = first; v <= last; v = times ? v * step : v + step) {
        out.emplace_back(v);
        if (out.size() > 1'000'000) throw bad("it has more than a million values");
        if (times && v > last / step) break;
    }
    return out;
}

struct Axis {
    std::string name, where;
    std::vector<ParamValue> values;
};

void check_value(const ParamSpec& spec, const ParamValue& value, const std::string& where) {
    const bool number = spec.fallback && std::holds_alternative<std::int64_t>(*spec.fallback);
    if (number && !std::holds_alternative<std::int64_t>(value))
        throw Error({where, fmt::format("{} is \"{}\"", spec.name, text(value)), "it must be a whole number", ""});
    if (spec.fallback && std::holds_alternative<bool>(*spec.fallback) && !std::holds_alternative<bool>(value))
        throw Error({where, fmt::format("{} is \"{}\"", spec.name, text(value)), "it must be true or false", ""});
    if (spec.choices.empty()) return;
    if (std::find(spec.choices.begin(), spec.choices.end(), text(value)) == spec.choices.end())
        throw Error({where, fmt::format("{} cannot be \"{}\"", spec.name, text(value)), "it is one of a few words",
                     did_you_mean(text(value), spec.choices)});
}

/// Axes joined by `zip` step together; the others span a grid.
std::vector<std::vector<const Axis*>> join(const std::vector<Axis>& axes, const Config& c) {
    std::vector<std::vector<const Axis*>> groups;
    std::set<std::string> zipped;
    if (c.has("zip")) {
        const Value zip = c.value("zip");
        Value::List lists;
        if (const auto* l = zip.as<Value::List>())
            lists = !l->empty() && l->front().as<std::string>() ? Value::List{zip} : *l;
        for (const Value& list : lists) {
            std::vector<const Axis*> group;
            for (const Value& item : *list.as<Value::List>()) {
                const auto* name = item.as<std::string>();
                const auto axis =
                    std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return name && a.name == *name; });
                if (axis == axes.end())
                    throw Error(
                        {item.where, fmt::format("zip names {}, which is no axis here", to_text(item)), "", ""});
                if (!group.empty() && group.front()->values.size() != axis->values.size())
                    throw Error({item.where,
                                 fmt::format("zip joins {} values of {} with {} of {}", group.front()->values.size(),
                                             group.front()->name, axis->values.size(), axis->name),
                                 "they step together", ""});
                group.push_back(&*axis);
                zipped.insert(axis->name);
            }
            groups.push_back(group);
        }
    }
    for (const Axis& a : axes)
        if (!zipped.contains(a.name)) groups.push_back({&a});
    std::stable_sort(groups.begin(), groups.end(), [](const auto& x, const auto& y) { return x.front() < y.front(); });
    return groups;
}

bool excluded(const Params& p, const Config& c) {
    if (!c.has("exclude")) return false;
    const Value v = c.value("exclude");
    const auto matches = [&](const Value& rule) {
        const auto* pairs = rule.as<Value::Pairs>();
        if (!pairs) throw Error({rule.where, "exclude holds tables such as { m = 1024, n = 2048 }", "", ""});
        return std::all_of(pairs->begin(), pairs->end(), [&](const Value::Pair& pair) {
            const auto& all = p.all();
            const auto it = std::find_if(all.begin(), all.end(), [&](const auto& x) { return x.first == pair.key; });
            if (it == all.end())
                throw Error(
                    {pair.value.where, fmt::format("exclude names \"{}\", which is no parameter", pair.key), "", ""});
            return text(it->second) == text(scalar(pair.value));
        });
    };
    const auto* list = v.as<Value::List>();
    return list ? std::any_of(list->begin(), list->end(), matches) : matches(v);
}

WorkloadChoice read_workload(const Config& c) {
    WorkloadChoice choice;
    const std::string name = c.text("use");
    choice.where = c.where("use");
    choice.workload = nullptr;
    std::vector<std::string> known;
    for (const Workload& w : all_workloads()) {
        known.push_back(w.name);
        if (w.name == name) choice.workload = &w;
    }
    if (!choice.workload)
        throw c.error("use", fmt::format("there is no workload \"{}\"", name), "", did_you_mean(name, known));
    std::vector<Axis> axes;
    Params base;
    for (const ParamSpec& spec : choice.workload->params) {
        if (!c.has(spec.name)) {
            if (!spec.fallback)
                throw Error({c.where(), fmt::format("workload \"{}\" needs \"{}\"", name, spec.name), spec.about, ""});
            if (!spec.optional) base.set(spec.name, *spec.fallback);
            continue;
        }
        base.set(spec.name, std::int64_t{0});  // keeps the order of the workload's own list
        choice.shown.push_back(spec.name);
        Axis axis{spec.name, c.where(spec.name), axis_values(c.value(spec.name))};
        if (axis.values.empty())
            throw c.error(spec.name, fmt::format("{} has no values", spec.name), "the sweep would be empty", "");
        for (const ParamValue& v : axis.values) check_value(spec, v, axis.where);
        axes.push_back(std::move(axis));
    }
    const auto groups = join(axes, c);
    std::vector<std::size_t> at(groups.size(), 0);
    for (;;) {
        Params p = base;
        for (std::size_t g = 0; g < groups.size(); ++g)
            for (const Axis* a : groups[g]) p.set(a->name, a->values[at[g]]);
        if (!excluded(p, c)) choice.points.push_back(std::move(p));
        std::size_t g = groups.size();
        while (g > 0 && ++at[g - 1] == groups[g - 1].front()->values.size()) at[--g] = 0;
        if (g == 0) break;
    }
    return choice;
}

Protocol read_protocol(const Config& c) {
    Protocol p;
    p.warmup = static_cast<int>(c.integer_or("warmup", p.warmup));
    p.min_samples = static_cast<int>(c.integer_or("min_samples", p.min_samples));
    p.max_samples = static_cast<int>(c.integer_or("max_samples", p.max_samples));
    p.min_time = c.quantity_or<Seconds>("min_time", p.min_time);
    p.timeout = c.quantity_or<Seconds>("timeout", p.timeout);
    p.max_noise = c.quantity_or<double>("max_noise", p.max_noise);
    p.verify = c.flag_or("verify", p.verify);
    p.case_limit = c.quantity_or<Seconds>("case_limit", p.case_limit);
    if (p.warmup < 0 || p.min_samples < 1 || p.max_samples < p.min_samples)
        throw c.error("min_samples",
                      fmt::format("{} to {} samples after {} warm-up runs cannot be taken", p.min_samples,
                                  p.max_samples, p.warmup),
                      "at least one sample is needed, and max_samples is not below min_samples", "");
    return p;
}

void use_mapping(SystemChoice& s, const std::string& text, const std::string& where) {
    try {
        s.mapping = Mapping::parse(text);
    } catch (const Error& e) {
        const std::string said = e.what();
        const std::size_t stop = said.find(". ");  // "problem. hint"
        throw Error(
            {where, without_stop(said.substr(0, stop)), "", stop == std::string::npos ? "" : said.substr(stop + 2)});
    }
    if (s.system->kind != SystemKind::cluster && s.system->kind != SystemKind::host)
        throw Error({where, fmt::format("{} is no cluster", s.system->id), "there is nothing to spread a workload over",
                     "Leave mapping out."});
    const std::string& algorithm = s.mapping->algorithm;
    if (s.system->kind == SystemKind::cluster && !algorithm.empty() && algorithm != "gpipe")
        throw Error({where,
                     fmt::format("{} spreads a product over ranks of the host, not over units of {}",
                                 in_quotes(algorithm), s.system->id),
                     "it would be ignored", "Leave it out."});
    if (!s.units_named && s.system->kind == SystemKind::cluster) s.units = {s.mapping->units()};
}

SystemChoice read_system(const Config& c, const SystemLoader& load) {
    SystemChoice s;
    s.where = c.where("use");
    std::map<std::string, std::string> options;
    if (const auto table = c.maybe_table("options"))
        for (const std::string& key : table->keys()) options[key] = table->text(key);
    try {
        s.system = load(c.text("use"), options);
    } catch (const Error& e) {
        const std::string text = e.what();
        if (text.find(".toml") != std::string::npos) throw;
        const std::size_t stop = text.find(". ");  // "problem. hint"
        throw Error({c.where("use"), without_stop(text.substr(0, stop)), "",
                     stop == std::string::npos ? "" : text.substr(stop + 2)},
                    e.code());
    }
    if (c.has("backends")) s.backends = c.texts("backends");
    if (c.has("workloads")) s.workloads = c.texts("workloads");
    if (const auto table = c.maybe_table("only"))
        for (const std::string& key : table->keys()) s.only.emplace_back(key, text(scalar(table->value(key))));
    for (const char* key : unit_keys) {
        if (!c.has(key)) continue;
        for (const ParamValue& v : axis_values(c.value(key))) {
            const auto* n = std::get_if<std::int64_t>(&v);
            if (!n || *n < 1)
                throw c.error(key, fmt::format("{} is {}", key, text(v)), "it must be a whole number of at least 1",
                              "");
            s.units.push_back(*n);
        }
    }
    s.units_named = !s.units.empty();
    if (s.units.empty()) s.units = {1};
    if (c.has("mapping")) use_mapping(s, c.text("mapping"), c.where("mapping"));
    s.meshes = read_meshes(c, *s.system);
    if (c.has("algorithm"))
        for (const ParamValue& v : axis_values(c.value("algorithm"))) s.algorithms.push_back(text(v));
    s.emulation = read_emulation(c);
    s.threads = static_cast<int>(c.integer_or("threads", 0));
    if (s.threads < 0)
        throw c.error("threads", fmt::format("threads is {}", s.threads), "it must be at least 1, or 0 for all", "");
    return s;
}

/// A machine takes part in what the experiment has, or it is a slip.
void check_workloads(const Experiment& e) {
    std::vector<std::string> known;
    for (const WorkloadChoice& w : e.workloads) known.push_back(w.workload->name);
    for (const SystemChoice& s : e.systems)
        for (const std::string& name : s.workloads)
            if (std::find(known.begin(), known.end(), name) == known.end())
                throw Error({s.where, fmt::format("the experiment has no workload {}", in_quotes(name)),
                             fmt::format("{} would not take part in it", s.system->id), did_you_mean(name, known)});
    std::vector<std::string> params;
    for (const WorkloadChoice& w : e.workloads)
        for (const ParamSpec& spec : w.workload->params) params.push_back(spec.name);
    for (const SystemChoice& s : e.systems)
        for (const auto& [name, value] : s.only)
            if (std::find(params.begin(), params.end(), name) == params.end())
                throw Error({s.where, fmt::format("only names {}, which no workload here has", in_quotes(name)),
                             fmt::format("{} would take part in nothing", s.system->id), did_you_mean(name, params)});
}

}  // namespace

void force_mapping(Experiment& e, const std::string& text) {
    bool used = false;
    for (SystemChoice& s : e.systems)
        if (s.system->kind == SystemKind::cluster) use_mapping(s, text, "--mapping"), used = true;
    if (!used)
        throw Error({"--mapping", fmt::format("{} has no cluster", e.name),
                     "there is nothing to spread a workload over", "Leave it out."});
}

std::vector<ParamValue> axis_values(const Value& value) {
    std::vector<ParamValue> out;
    const auto one = [&](const Value& v) {
        const auto* s = v.as<std::string>();
        if (s && s->rfind("range(", 0) == 0) {
            for (ParamValue& x : range_values(*s, v.where)) out.push_back(std::move(x));
        } else {
            out.push_back(scalar(v));
        }
    };
    if (const auto* list = value.as<Value::List>())
        for (const Value& v : *list) one(v);
    else
        one(value);
    return out;
}

Experiment read_experiment(const Config& config, const SystemLoader& load) {
    Experiment e;
    e.file = config.file();
    e.text = config.source_text();
    e.name = std::filesystem::path(e.file).stem().string();
    e.title = config.text_or("title", e.name);
    e.seed = static_cast<std::uint64_t>(config.integer_or("seed", 1));
    if (const auto p = config.maybe_table("protocol")) e.protocol = read_protocol(*p);
    for (const Config& c : config.tables("workload")) e.workloads.push_back(read_workload(c));
    if (e.workloads.empty())
        throw config.error("workload", "names no workload", "there is nothing to run",
                           "Add a [[workload]] with use = \"gemm\".");
    for (const Config& c : config.tables("system")) e.systems.push_back(read_system(c, load));
    if (e.systems.empty())
        throw config.error("system", "names no system", "there is nothing to run on",
                           "Add a [[system]] with use = \"host\".");
    check_workloads(e);
    config.finish();
    return e;
}

}  // namespace wb
