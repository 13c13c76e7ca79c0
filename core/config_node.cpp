#include "core/config_node.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <system_error>

// toml++ 3.3 asserts that a key begins with a letter before it checks the same and reports the mistake; a release build
// would even assume it. Its checks must decide, so that a damaged file ends in a message and not in an abort.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include "core/suggest.hpp"

namespace wb {
namespace {

std::string place_of(const std::string& name, const toml::source_region& region) {
    // A file without a single key leaves no position behind.
    return fmt::format("{}:{}:{}", name, std::max(1u, region.begin.line), std::max(1u, region.begin.column));
}

std::string shown(double number) {
    const std::string text = fmt::format("{}", number);
    return text.find_first_not_of("-0123456789") == text.npos ? text + ".0" : text;
}

/// toml++ bounds the depth of brackets but not of `a.a.a...`, and recurses along it until the stack ends.
void check_depth(const std::string& text, const std::string& name) {
    constexpr int deepest = 1000;
    int points = 0, line = 1;
    for (const char c : text) {
        if (c == '.' && ++points > deepest) {
            const std::string problem = fmt::format("more than {} points follow each other in one name", deepest);
            throw Error({fmt::format("{}:{}:1", name, line), problem, "tables cannot nest so deep", ""});
        }
        if (c == '\n') ++line;
        if (std::string_view("=,{}[]\n").find(c) != std::string_view::npos) points = 0;
    }
}

ConfigNode::Table entries(const toml::table& from, const std::string& name, const std::string& fixed);

/// `fixed` replaces every place if it is not empty.
std::shared_ptr<ConfigNode> node_of(const toml::node& from, const std::string& name, const std::string& fixed) {
    auto out = std::make_shared<ConfigNode>();
    out->place = fixed.empty() ? place_of(name, from.source()) : fixed;
    if (const auto* integer = from.as_integer()) out->data = integer->get();
    if (const auto* number = from.as_floating_point()) out->data = number->get();
    if (const auto* flag = from.as_boolean()) out->data = flag->get();
    if (const auto* text = from.as_string()) out->data = text->get();
    if (const auto* array = from.as_array()) {
        ConfigNode::List list;
        for (const auto& item : *array) list.push_back(node_of(item, name, fixed));
        out->data = std::move(list);
    }
    if (const auto* table = from.as_table()) out->data = entries(*table, name, fixed);
    return out;
}

/// In the order of the file; toml++ keeps them by name.
ConfigNode::Table entries(const toml::table& from, const std::string& name, const std::string& fixed) {
    std::vector<std::pair<toml::source_position, ConfigNode::Entry>> sorted;
    for (const auto& [key, value] : from) {
        const std::string place = fixed.empty() ? place_of(name, key.source()) : fixed;
        sorted.push_back({key.source().begin, {std::string(key.str()), place, node_of(value, name, fixed)}});
    }
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    ConfigNode::Table out;
    for (auto& [position, entry] : sorted) out.entries.push_back(std::move(entry));
    return out;
}

}  // namespace

std::shared_ptr<ConfigNode> read_toml(const std::string& text, const std::string& name) {
    check_depth(text, name);
    try {
        auto root = node_of(toml::parse(std::string_view(text)), name, "");
        root->place = name + ":1:1";
        return root;
    } catch (const toml::parse_error& failure) {
        std::string what(failure.description());
        if (what.starts_with("Error ")) what = what.substr(6);
        while (what.ends_with('.')) what.pop_back();
        const bool twice = what.find("redefine") != what.npos;
        const std::string hint =
            twice ? "Keep one of the two." : "Texts, and amounts with their unit, stand in quotes.";
        throw Error({place_of(name, failure.source()), "not valid TOML, " + what, "", hint});
    }
}

std::shared_ptr<ConfigNode> override_node(std::string_view text, const std::string& place) {
    try {
        check_depth(std::string(text), place);
        const toml::table parsed = toml::parse("value = " + std::string(text));
        if (parsed.size() == 1) {
            auto out = node_of(*parsed.get("value"), "", place);
            if (!out->as<ConfigNode::Date>()) return out;
        }
    } catch (const toml::parse_error& failure) {
        const auto first = text.find_first_not_of(" \t");
        if (first != text.npos && std::string_view("\"'[{").find(text[first]) != std::string_view::npos) {
            throw Error({place, in_quotes(text) + " is not valid TOML", std::string(failure.description()),
                         "Mind that the shell takes one pair of quotes away."});
        }
    }
    auto out = std::make_shared<ConfigNode>();
    out->data = std::string(text);
    out->place = place;
    return out;
}

std::shared_ptr<ConfigNode>* descend(std::shared_ptr<ConfigNode>& at, const std::string& part,
                                     const std::string& place) {
    if (auto* table = at->as<ConfigNode::Table>()) {
        if (auto* entry = table->find(part)) return &entry->node;
        if (part == "0") return &at;  // `tables` takes a single table for an array of one
        auto fresh = std::make_shared<ConfigNode>();
        fresh->data = ConfigNode::Table{};
        fresh->place = place;
        table->entries.push_back({part, place, std::move(fresh)});
        return &table->entries.back().node;
    }
    auto* list = at->as<ConfigNode::List>();
    if (!list) {
        throw Error(
            {place, in_quotes(part) + " stands below " + describe(*at), "only tables and arrays have parts", ""});
    }
    std::size_t index = 0;
    const auto [end, failure] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (failure != std::errc() || end != part.data() + part.size() || index >= list->size()) {
        const std::string range = list->empty() ? "it is empty" : fmt::format("0 to {} exist", list->size() - 1);
        throw Error({place, in_quotes(part) + " is no index of the array at " + at->place, range, ""});
    }
    return &(*list)[index];
}

std::string describe(const ConfigNode& node) {
    if (const auto* integer = node.as<std::int64_t>()) return fmt::format("the integer {}", *integer);
    if (const auto* number = node.as<double>()) return "the number " + shown(*number);
    if (const auto* flag = node.as<bool>()) return *flag ? "true" : "false";
    if (const auto* text = node.as<std::string>()) return "the text " + in_quotes(*text);
    if (node.as<ConfigNode::List>()) return "an array";
    return node.as<ConfigNode::Table>() ? "a table" : "a date";
}

Value to_value(ConfigNode& from) {
    from.read = true;
    Value out;
    out.where = from.place;
    if (const auto* integer = from.as<std::int64_t>()) out.data = *integer;
    if (const auto* number = from.as<double>()) out.data = *number;
    if (const auto* flag = from.as<bool>()) out.data = *flag;
    if (const auto* text = from.as<std::string>()) out.data = *text;
    if (const auto* list = from.as<ConfigNode::List>()) {
        Value::List items;
        for (const auto& item : *list) items.push_back(to_value(*item));
        out.data = std::move(items);
    }
    if (const auto* table = from.as<ConfigNode::Table>()) {
        Value::Pairs pairs;
        for (const auto& entry : table->entries) pairs.push_back({entry.key, to_value(*entry.node)});
        out.data = std::move(pairs);
    }
    if (from.as<ConfigNode::Date>()) throw Error({from.place, "a date has no use here", "", "Put it in quotes."});
    return out;
}

void collect_unread(const ConfigNode& node, const std::string& title, std::vector<UnreadKey>& out) {
    if (const auto* list = node.as<ConfigNode::List>()) {
        for (const auto& item : *list) collect_unread(*item, title, out);
    }
    const auto* table = node.as<ConfigNode::Table>();
    if (!table) return;
    for (const auto& entry : table->entries) {
        if (!entry.node->read)
            out.push_back({&entry, table, title});
        else
            collect_unread(*entry.node, title.empty() ? entry.key : title + "." + entry.key, out);
    }
}

std::string to_text(const Value& value) {
    if (const auto* integer = value.as<std::int64_t>()) return fmt::format("{}", *integer);
    if (const auto* number = value.as<double>()) return shown(*number);
    if (const auto* flag = value.as<bool>()) return *flag ? "true" : "false";
    if (const auto* text = value.as<std::string>()) return in_quotes(*text);
    std::string out;
    if (const auto* list = value.as<Value::List>()) {
        for (const Value& item : *list) out += (out.empty() ? "" : ", ") + to_text(item);
        return "[" + out + "]";
    }
    for (const auto& [key, item] : std::get<Value::Pairs>(value.data)) {
        out += fmt::format("{}{} = {}", out.empty() ? "" : ", ", key, to_text(item));
    }
    return "{" + out + "}";
}

}  // namespace wb
