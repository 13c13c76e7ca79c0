#include "kernels/workloads/model/config_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb {

using nlohmann::json;

struct ConfigKeys::Object {
    json keys;
};

ConfigKeys::ConfigKeys(const std::string& path) : file_(path) {
    std::ifstream in(path);
    json parsed = json::parse(in, nullptr, false);
    if (parsed.is_discarded() || !parsed.is_object())
        throw Error({path, "is not a JSON object", "a model is described as Hugging Face does", ""});
    object_ = std::make_unique<const Object>(Object{std::move(parsed)});
}

ConfigKeys::~ConfigKeys() = default;

bool ConfigKeys::has(const char* key) const { return object_->keys.contains(key) && !object_->keys.at(key).is_null(); }

const char* ConfigKeys::first_of(Names names) const {
    for (const char* key : names)
        if (has(key)) return key;
    return nullptr;
}

std::string ConfigKeys::known() const {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object_->keys.items()) keys.push_back(key);
    return fmt::format("The file has: {}.", fmt::join(keys, ", "));
}

void ConfigKeys::fail(const std::string& key, std::string problem, std::string why, std::string hint) const {
    throw Error({file_, fmt::format("\"{}\" {}", key, problem), std::move(why), std::move(hint)});
}

std::int64_t ConfigKeys::size(Names names) const {
    const char* const key = first_of(names);
    if (!key) {
        const std::vector<std::string> others(names.begin() + 1, names.end());
        const std::string or_else = others.empty() ? "" : fmt::format(" (or \"{}\")", fmt::join(others, "\" or \""));
        fail(*names.begin(), "is missing" + or_else, "the architecture is not known without it", known());
    }
    const json& value = object_->keys.at(key);
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1)
        fail(key, fmt::format("is {}", in_quotes(value.dump())), "it must be a whole number of at least 1");
    return value.get<std::int64_t>();
}

std::int64_t ConfigKeys::size_or(Names names, std::int64_t fallback) const {
    return first_of(names) ? size(names) : fallback;
}

std::int64_t ConfigKeys::count_or(Names names, std::int64_t fallback) const {
    const char* const key = first_of(names);
    if (!key) return fallback;
    const json& value = object_->keys.at(key);
    return value.is_number_integer() && value.get<std::int64_t>() == 0 ? 0 : size({key});
}

double ConfigKeys::number_or(Names names, double fallback) const {
    const char* const key = first_of(names);
    if (!key) return fallback;
    const json& value = object_->keys.at(key);
    if (!value.is_number()) fail(key, fmt::format("is {}", in_quotes(value.dump())), "it must be a number");
    return value.get<double>();
}

bool ConfigKeys::flag_or(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    const json& value = object_->keys.at(key);
    if (!value.is_boolean()) fail(key, fmt::format("is {}", in_quotes(value.dump())), "it must be true or false");
    return value.get<bool>();
}

std::string ConfigKeys::word_or(Names names, const std::string& fallback) const {
    const char* const key = first_of(names);
    if (!key) return fallback;
    const json& value = object_->keys.at(key);
    if (!value.is_string()) fail(key, fmt::format("is {}", in_quotes(value.dump())), "it must be a text");
    return value.get<std::string>();
}

std::vector<std::string> ConfigKeys::words(const char* key) const {
    std::vector<std::string> out;
    if (!has(key)) return out;
    const json& value = object_->keys.at(key);
    if (!value.is_array()) fail(key, fmt::format("is {}", in_quotes(value.dump())), "it must be a list of texts");
    for (const json& item : value) {
        if (!item.is_string()) fail(key, fmt::format("holds {}", in_quotes(item.dump())), "it must be a list of texts");
        out.push_back(item.get<std::string>());
    }
    return out;
}

std::string ConfigKeys::inside(const char* table, const char* key) const {
    if (!has(table) || !object_->keys.at(table).is_object() || !object_->keys.at(table).contains(key)) return "";
    const json& value = object_->keys.at(table).at(key);
    if (value.is_null()) return "";
    return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace wb
