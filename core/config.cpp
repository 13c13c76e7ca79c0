#include "core/config.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "core/config_node.hpp"
#include "core/suggest.hpp"

namespace wb {

struct Config::Document {
    std::string name, text;
};

namespace {

/// Opens for reading, or tells why not and which file of the folder may be meant.
std::ifstream open(const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code failure;
    if (fs::is_directory(path, failure)) throw Error({path, "is a folder, not a file", "", "Name a file in it."});
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (in) return in;
    const std::string reason = std::generic_category().message(errno);
    std::vector<std::string> neighbours;
    const fs::path folder = fs::path(path).has_parent_path() ? fs::path(path).parent_path() : fs::path(".");
    for (fs::directory_iterator at(folder, failure), end; !failure && at != end; at.increment(failure)) {
        neighbours.push_back(at->path().filename().string());
    }
    std::sort(neighbours.begin(), neighbours.end());
    const auto near = nearest(fs::path(path).filename().string(), neighbours);
    throw Error(
        {path, "cannot be opened", reason, near ? "Did you mean " + in_quotes(*near) + "?" : "Check the path."});
}

/// Splits `a."b.c".0` at its points; nothing if a part is empty or a quote stays open.
std::optional<std::vector<std::string>> split_path(std::string_view path) {
    std::vector<std::string> parts(1);
    bool inside = false, was_quoted = false;
    for (const char c : path) {
        if (c == '"') {
            inside = !inside;
            was_quoted = true;
        } else if (c == '.' && !inside) {
            if (parts.back().empty() && !was_quoted) return std::nullopt;
            parts.emplace_back();
            was_quoted = false;
        } else {
            parts.back() += c;
        }
    }
    if (parts.size() > 100 || inside || (parts.back().empty() && !was_quoted)) return std::nullopt;
    return parts;
}

}  // namespace

Config::Config(std::shared_ptr<const Document> document, std::shared_ptr<ConfigNode> node, std::string title)
    : document_(std::move(document)), node_(std::move(node)), title_(std::move(title)) {
    node_->read = true;
}

Config Config::load(const std::string& path) {
    std::ifstream in = open(path);
    std::ostringstream text;
    text << in.rdbuf();
    if (in.bad() || text.bad()) throw Error({path, "cannot be read to its end", "", ""});
    return parse(std::move(text).str(), path);
}

Config Config::parse(std::string text, std::string name) {
    auto root = read_toml(text, name);
    return Config(std::make_shared<const Document>(Document{std::move(name), std::move(text)}), std::move(root), "");
}

bool Config::has(std::string_view key) const {
    node_->table().ask(key);
    return node_->table().find(key) != nullptr;
}

const ConfigNode& Config::require(std::string_view key, std::string_view kind, std::string_view example) const {
    const std::string assignment = fmt::format("Write it like {} = {}.", key, example);
    if (has(key)) {
        ConfigNode& node = *node_->table().find(key)->node;
        node.read = true;
        return node;
    }
    std::vector<std::string> unread;
    for (const auto& entry : node_->table().entries) {
        if (!entry.node->read) unread.push_back(entry.key);
    }
    const auto near = nearest(key, unread);
    const std::string typo =
        near ? fmt::format("Was it meant by {} at {}?", in_quotes(*near), node_->table().find(*near)->place) : "";
    const std::string table = title_.empty() ? "" : " from [" + title_ + "]";
    throw Error({where(), in_quotes(key) + " is missing" + table, fmt::format("it is {} and has no default", kind),
                 near ? typo : assignment});
}

namespace {

struct Wanted {
    std::string_view kind, example;
};
constexpr Wanted a_text{"a text", "\"...\""}, an_integer{"an integer", "16"}, a_number{"a number", "0.5"},
    a_flag{"a flag", "true"}, a_value{"a value", "..."}, a_table{"a table", "{...}"},
    some_tables{"an array of tables", "[{...}]"};

}  // namespace

Error Config::mismatch(std::string_view key, std::string_view kind, std::string_view example) const {
    const ConfigNode& node = *node_->table().find(key)->node;
    const bool forgot_quotes = kind == a_text.kind && !node.as<ConfigNode::List>() && !node.as<ConfigNode::Table>();
    const std::string hint = forgot_quotes ? "Put it in quotes." : fmt::format("Write it like {} = {}.", key, example);
    return Error({node.place, fmt::format("{} is {}, not {}", in_quotes(key), describe(node), kind), "", hint});
}

std::string Config::text(std::string_view key) const {
    const ConfigNode& node = require(key, a_text.kind, a_text.example);
    if (const auto* text = node.as<std::string>()) return *text;
    throw mismatch(key, a_text.kind, a_text.example);
}

std::int64_t Config::integer(std::string_view key) const {
    const ConfigNode& node = require(key, an_integer.kind, an_integer.example);
    if (const auto* integer = node.as<std::int64_t>()) return *integer;
    throw mismatch(key, an_integer.kind, an_integer.example);
}

double Config::number(std::string_view key) const {
    const ConfigNode& node = require(key, a_number.kind, a_number.example);
    if (const auto* integer = node.as<std::int64_t>()) return static_cast<double>(*integer);
    const auto* number = node.as<double>();
    if (number && std::isfinite(*number)) return *number;
    throw mismatch(key, number ? "a finite number" : a_number.kind, a_number.example);
}

bool Config::flag(std::string_view key) const {
    const ConfigNode& node = require(key, a_flag.kind, a_flag.example);
    if (const auto* flag = node.as<bool>()) return *flag;
    throw mismatch(key, a_flag.kind, a_flag.example);
}

std::string Config::text_or(std::string_view key, std::string fallback) const {
    return has(key) ? text(key) : std::move(fallback);
}
std::int64_t Config::integer_or(std::string_view key, std::int64_t fallback) const {
    return has(key) ? integer(key) : fallback;
}
double Config::number_or(std::string_view key, double fallback) const { return has(key) ? number(key) : fallback; }
bool Config::flag_or(std::string_view key, bool fallback) const { return has(key) ? flag(key) : fallback; }

std::string Config::choice(std::string_view key, const std::vector<std::string>& allowed) const {
    std::string chosen = text(key);
    if (std::find(allowed.begin(), allowed.end(), chosen) != allowed.end()) return chosen;
    throw error(key, fmt::format("{} is no {}", in_quotes(chosen), key), "", did_you_mean(chosen, allowed));
}

double Config::amount(std::string_view key, Dimension dimension) const {
    const std::string kind = wb::describe(dimension);
    const bool plain = dimension == Dimension{};
    const std::string example = plain ? wb::example(dimension) : in_quotes(wb::example(dimension));
    const ConfigNode& node = require(key, kind, example);
    try {
        if (const auto* text = node.as<std::string>()) return parse_quantity(*text, dimension);
        if (const auto* integer = node.as<std::int64_t>())
            return parse_quantity(fmt::format("{}", *integer), dimension);
        if (const auto* number = node.as<double>()) return parse_quantity(fmt::format("{}", *number), dimension);
    } catch (const UnitProblem& problem) {
        throw problem.at(node.place);
    }
    throw mismatch(key, kind, example);
}

Value Config::value(std::string_view key) const {
    require(key, a_value.kind, a_value.example);
    return to_value(*node_->table().find(key)->node);
}

template <class T>
std::vector<T> Config::list(std::string_view key, std::string_view kind) const {
    const Value all = value(key);
    const auto* items = all.as<Value::List>();
    if (!items) throw mismatch(key, fmt::format("an array of {}", kind), "[...]");
    std::vector<T> out;
    for (const Value& item : *items) {
        if constexpr (std::is_same_v<T, double>) {
            if (const auto* integer = item.as<std::int64_t>()) {
                out.push_back(static_cast<double>(*integer));
                continue;
            }
        }
        const auto* found = item.as<T>();
        if (!found)
            throw Error(
                {item.where, fmt::format("{} in {} is not one of {}", to_text(item), in_quotes(key), kind), "", ""});
        out.push_back(*found);
    }
    return out;
}

std::vector<std::string> Config::texts(std::string_view key) const { return list<std::string>(key, "texts"); }
std::vector<std::int64_t> Config::integers(std::string_view key) const { return list<std::int64_t>(key, "integers"); }
std::vector<double> Config::numbers(std::string_view key) const { return list<double>(key, "numbers"); }

Config Config::view(std::string_view key, std::shared_ptr<ConfigNode> node) const {
    return Config(document_, std::move(node), title_.empty() ? std::string(key) : fmt::format("{}.{}", title_, key));
}

Config Config::table(std::string_view key) const {
    require(key, a_table.kind, a_table.example);
    const auto node = node_->table().find(key)->node;
    if (!node->as<ConfigNode::Table>()) throw mismatch(key, a_table.kind, a_table.example);
    return view(key, node);
}

std::optional<Config> Config::maybe_table(std::string_view key) const {
    if (!has(key)) return std::nullopt;
    return table(key);
}

std::vector<Config> Config::tables(std::string_view key) const {
    if (!has(key)) return {};
    require(key, some_tables.kind, some_tables.example);
    const auto node = node_->table().find(key)->node;
    if (node->as<ConfigNode::Table>()) return {view(key, node)};
    const auto* list = node->as<ConfigNode::List>();
    if (!list) throw mismatch(key, some_tables.kind, some_tables.example);
    std::vector<Config> out;
    for (const auto& item : *list) {
        if (!item->as<ConfigNode::Table>()) {
            throw Error({item->place, fmt::format("{} in {} is no table", describe(*item), in_quotes(key)), "", ""});
        }
        out.push_back(view(key, item));
    }
    return out;
}

std::vector<std::string> Config::keys() const {
    std::vector<std::string> out;
    for (const auto& entry : node_->table().entries) out.push_back(entry.key);
    return out;
}

std::string Config::where() const { return node_->place; }

std::string Config::where(std::string_view key) const {
    const auto* entry = node_->table().find(key);
    return entry ? entry->node->place : where();
}

Error Config::error(std::string_view key, std::string problem, std::string why, std::string hint) const {
    return Error({where(key), std::move(problem), std::move(why), std::move(hint)});
}

void Config::finish() const {
    std::vector<UnreadKey> unread;
    collect_unread(*node_, title_, unread);
    if (unread.empty()) return;
    const auto& [entry, table, title] = unread.front();
    std::string hint = did_you_mean(entry->key, table->asked);
    for (std::size_t i = 1; i < unread.size(); ++i) {
        hint += fmt::format("{}{} at {}",
                            i > 1          ? ", "
                            : hint.empty() ? "Also unknown: "
                                           : " Also unknown: ",
                            in_quotes(unread[i].entry->key), unread[i].entry->place);
    }
    if (unread.size() > 1) hint += ".";
    const std::string in = title.empty() ? "" : " in [" + title + "]";
    throw Error(
        {entry->place, "unknown key " + in_quotes(entry->key) + in, "a key that nobody reads would be ignored", hint});
}

void Config::set(std::string_view dotted_path, std::string_view toml_value) {
    const std::string place = "--set " + std::string(dotted_path);
    const auto parts = split_path(dotted_path);
    if (!parts) throw Error({place, "is no path of a value", "names are parted by points", "Write it like a.b=1."});
    std::shared_ptr<ConfigNode>* at = &node_;
    for (const std::string& part : *parts) at = descend(*at, part, place);
    *at = override_node(toml_value, place);
}

std::string Config::source_text() const { return document_->text; }
std::string Config::file() const { return document_->name; }

}  // namespace wb
