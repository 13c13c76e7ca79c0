#include <algorithm>
#include <charconv>

#include "core/tables.hpp"
#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

template <class T>
bool reads(const std::string& text, T& value) {
    const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
    return r.ec == std::errc() && r.ptr == text.data() + text.size();
}

/// The value that text() wrote, of the type that the workload has it in.
ParamValue value_of(const ParamSpec& spec, const std::string& text) {
    const bool any = !spec.fallback && spec.choices.empty();
    const auto is = [&]<class T>(T) { return any || (spec.fallback && std::holds_alternative<T>(*spec.fallback)); };
    std::int64_t whole = 0;
    double number = 0;
    if (is(true) && (text == "true" || text == "false")) return text == "true";
    if (is(std::int64_t{}) && reads(text, whole)) return whole;
    if (is(0.0) && reads(text, number)) return number;
    return text;
}

}  // namespace

Question ask_run(const Point& p, CaseMaker& make) {
    ParamList given;
    for (const ParamSpec& spec : workload_named(p.run).params)
        if (const std::string* text = p.find(spec.name)) given.emplace_back(spec.name, value_of(spec, *text));
    Setting setting = make.setting(p);
    setting.units = static_cast<int>(p.integer("gpus"));
    setting.mapping = Mapping::parse(p.run_mapping);
    setting.mapping.algorithm.clear();  // the measuring backend's own word
    Question q;
    q.terms.push_back({make.make(p.run, given, setting), 1});
    return q;
}

}  // namespace wb
