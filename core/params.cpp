#include "core/params.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace wb {

std::string text(const ParamValue& value) {
    if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
    if (const auto* i = std::get_if<std::int64_t>(&value)) return std::to_string(*i);
    if (const auto* d = std::get_if<double>(&value)) return fmt::format("{}", *d);
    return std::get<std::string>(value);
}

void Params::set(const std::string& name, ParamValue value) {
    for (auto& [key, old] : values_)
        if (key == name) {
            old = std::move(value);
            return;
        }
    values_.emplace_back(name, std::move(value));
}

const ParamValue* Params::find(const std::string& name) const {
    for (const auto& [key, value] : values_)
        if (key == name) return &value;
    return nullptr;
}

namespace {
[[noreturn]] void wrong(const std::string& name, const ParamValue* value, const char* wanted) {
    if (!value) throw Error({name, "is missing", "the workload needs it", ""});
    throw Error({name, fmt::format("\"{}\" is not {}", text(*value), wanted), "", ""});
}
}  // namespace

std::int64_t Params::integer(const std::string& name) const {
    const ParamValue* v = find(name);
    if (const auto* i = v ? std::get_if<std::int64_t>(v) : nullptr) return *i;
    wrong(name, v, "a whole number");
}

std::int64_t Params::positive(const std::string& name) const {
    const std::int64_t n = integer(name);
    if (n < 1) throw Error({name, fmt::format("is {}", n), "a size must be at least 1", ""});
    return n;
}

bool Params::flag(const std::string& name) const {
    const ParamValue* v = find(name);
    if (const auto* b = v ? std::get_if<bool>(v) : nullptr) return *b;
    wrong(name, v, "true or false");
}

double Params::number(const std::string& name) const {
    const ParamValue* v = find(name);
    if (const auto* d = v ? std::get_if<double>(v) : nullptr) return *d;
    if (const auto* i = v ? std::get_if<std::int64_t>(v) : nullptr) return static_cast<double>(*i);
    wrong(name, v, "a number");
}

const std::string& Params::word(const std::string& name) const {
    const ParamValue* v = find(name);
    if (const auto* s = v ? std::get_if<std::string>(v) : nullptr) return *s;
    wrong(name, v, "a text");
}

std::string Params::key() const {
    std::string out;
    for (const auto& [name, value] : values_) {
        if (!out.empty()) out += ' ';
        out += name + "=" + text(value);
    }
    return out;
}

Params complete(const std::vector<ParamSpec>& specs, const ParamList& given) {
    const auto same = [](const auto& name) { return [&name](const auto& x) { return x.first == name; }; };
    Params p;
    for (const ParamSpec& spec : specs) {
        const auto at = std::find_if(given.rbegin(), given.rend(), same(spec.name));
        if (at != given.rend())
            p.set(spec.name, at->second);
        else if (spec.fallback && !spec.optional)
            p.set(spec.name, *spec.fallback);
    }
    for (const auto& [name, value] : given)
        if (std::none_of(specs.begin(), specs.end(), [&n = name](const ParamSpec& s) { return s.name == n; }))
            throw Error({name, "is no parameter of the workload", "it would change nothing", ""});
    return p;
}

}  // namespace wb
