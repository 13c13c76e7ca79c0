#include "core/config.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include <fmt/core.h>

// toml++ 3.3 asserts that a key begins with a letter before it checks the same and reports the mistake; a release build
// would even assume it. Its checks must decide, so that a damaged file ends in a message and not in an abort.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#include <toml++/toml.h>

#include "core/suggest.hpp"

namespace wb {

struct Config::Document {
    std::string name, text;
};

struct Config::Node {
    struct Entry {
        std::string key, place;  // place of the key, not of its value
        std::shared_ptr<Node> node;
    };
    struct Table {
        std::vector<Entry> entries;
        std::vector<std::string> asked;  // what callers looked for, whether it was there or not

        Entry* find(std::string_view key) {
            const auto at = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
            return at == entries.end() ? nullptr : &*at;
        }
        void ask(std::string_view key) {
            if (std::find(asked.begin(), asked.end(), key) == asked.end()) asked.emplace_back(key);
        }
    };
    using List = std::vector<std::shared_ptr<Node>>;
    struct Date {};

    std::variant<Date, std::int64_t, double, bool, std::string, List, Table> data;
    std::string place;
    bool read = false;

    template <class T>
    T* as() {
        return std::get_if<T>(&data);
    }
    template <class T>
    const T* as() const {
        return std::get_if<T>(&data);
    }
    Table& table() { return std::get<Table>(data); }
};

namespace {

std::string place_of(const std::string& name, const toml::source_region& region) {
    // A file without a single key leaves no position behind.
    return fmt::format("{}:{}:{}", name, std::max(1u, region.begin.line), std::max(1u, region.begin.column));
}

std::string shown(double number) {
    const std::string text = fmt::format("{}", number);
    return text.find_first_not_of("-0123456789") == text.npos ? text + ".0" : text;
}

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

toml::table parse_toml(const std::string& text, const std::string& name) {
    check_depth(text, name);
    try {
        return toml::parse(std::string_view(text));
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

/// From toml++ to nodes and from nodes to messages and values.
struct Config::Reader {
    /// `fixed` replaces every place if it is not empty.
    static std::shared_ptr<Node> node(const toml::node& from, const std::string& name, const std::string& fixed) {
        auto out = std::make_shared<Node>();
        out->place = fixed.empty() ? place_of(name, from.source()) : fixed;
        if (const auto* integer = from.as_integer()) out->data = integer->get();
        if (const auto* number = from.as_floating_point()) out->data = number->get();
        if (const auto* flag = from.as_boolean()) out->data = flag->get();
        if (const auto* text = from.as_string()) out->data = text->get();
        if (const auto* array = from.as_array()) {
            Node::List list;
            for (const auto& item : *array) list.push_back(node(item, name, fixed));
            out->data = std::move(list);
        }
        if (const auto* table = from.as_table()) out->data = entries(*table, name, fixed);
        return out;
    }

    /// In the order of the file; toml++ keeps them by name.
    static Node::Table entries(const toml::table& from, const std::string& name, const std::string& fixed) {
        std::vector<std::pair<toml::source_position, Node::Entry>> sorted;
        for (const auto& [key, value] : from) {
            const std::string place = fixed.empty() ? place_of(name, key.source()) : fixed;
            sorted.push_back({key.source().begin, {std::string(key.str()), place, node(value, name, fixed)}});
        }
        std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
        Node::Table out;
        for (auto& [position, entry] : sorted) out.entries.push_back(std::move(entry));
        return out;
    }

    static std::string describe(const Node& node) {
        if (const auto* integer = node.as<std::int64_t>()) return fmt::format("the integer {}", *integer);
        if (const auto* number = node.as<double>()) return "the number " + shown(*number);
        if (const auto* flag = node.as<bool>()) return *flag ? "true" : "false";
        if (const auto* text = node.as<std::string>()) return "the text " + in_quotes(*text);
        if (node.as<Node::List>()) return "an array";
        return node.as<Node::Table>() ? "a table" : "a date";
    }

    static Value value(Node& from) {
        from.read = true;
        Value out;
        out.where = from.place;
        if (const auto* integer = from.as<std::int64_t>()) out.data = *integer;
        if (const auto* number = from.as<double>()) out.data = *number;
        if (const auto* flag = from.as<bool>()) out.data = *flag;
        if (const auto* text = from.as<std::string>()) out.data = *text;
        if (const auto* list = from.as<Node::List>()) {
            Value::List items;
            for (const auto& item : *list) items.push_back(value(*item));
            out.data = std::move(items);
        }
        if (const auto* table = from.as<Node::Table>()) {
            Value::Pairs pairs;
            for (const auto& entry : table->entries) pairs.emplace_back(entry.key, value(*entry.node));
            out.data = std::move(pairs);
        }
        if (from.as<Node::Date>()) throw Error({from.place, "a date has no use here", "", "Put it in quotes."});
        return out;
    }

    struct Unread {
        const Node::Entry* entry;
        const Node::Table* table;
        std::string title;
    };
    static void unread(const Node& node, const std::string& title, std::vector<Unread>& out) {
        if (const auto* list = node.as<Node::List>()) {
            for (const auto& item : *list) unread(*item, title, out);
        }
        const auto* table = node.as<Node::Table>();
        if (!table) return;
        for (const auto& entry : table->entries) {
            if (!entry.node->read)
                out.push_back({&entry, table, title});
            else
                unread(*entry.node, title.empty() ? entry.key : title + "." + entry.key, out);
        }
    }

    /// What `set` puts in: TOML, or a text if it is none and does not look as if it wanted to be.
    static std::shared_ptr<Node> override_node(std::string_view text, const std::string& place) {
        try {
            check_depth(std::string(text), place);
            const toml::table parsed = toml::parse("value = " + std::string(text));
            if (parsed.size() == 1) {
                auto out = node(*parsed.get("value"), "", place);
                if (!out->as<Node::Date>()) return out;
            }
        } catch (const toml::parse_error& failure) {
            const auto first = text.find_first_not_of(" \t");
            if (first != text.npos && std::string_view("\"'[{").find(text[first]) != std::string_view::npos) {
                throw Error({place, in_quotes(text) + " is not valid TOML", std::string(failure.description()),
                             "Mind that the shell takes one pair of quotes away."});
            }
        }
        auto out = std::make_shared<Node>();
        out->data = std::string(text);
        out->place = place;
        return out;
    }

    /// Where the next part of a path leads; a table that is missing is made.
    static std::shared_ptr<Node>* step(std::shared_ptr<Node>& at, const std::string& part, const std::string& place) {
        if (auto* table = at->as<Node::Table>()) {
            if (auto* entry = table->find(part)) return &entry->node;
            if (part == "0") return &at;  // `tables` takes a single table for an array of one
            auto fresh = std::make_shared<Node>();
            fresh->data = Node::Table{};
            fresh->place = place;
            table->entries.push_back({part, place, std::move(fresh)});
            return &table->entries.back().node;
        }
        auto* list = at->as<Node::List>();
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
};

Config::Config(std::shared_ptr<const Document> document, std::shared_ptr<Node> node, std::string title)
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
    auto root = Reader::node(parse_toml(text, name), name, "");
    root->place = name + ":1:1";
    return Config(std::make_shared<const Document>(Document{std::move(name), std::move(text)}), std::move(root), "");
}

bool Config::has(std::string_view key) const {
    node_->table().ask(key);
    return node_->table().find(key) != nullptr;
}

const Config::Node& Config::require(std::string_view key, std::string_view kind, std::string_view example) const {
    const std::string assignment = fmt::format("Write it like {} = {}.", key, example);
    if (has(key)) {
        Node& node = *node_->table().find(key)->node;
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
    const Node& node = *node_->table().find(key)->node;
    const bool forgot_quotes = kind == a_text.kind && !node.as<Node::List>() && !node.as<Node::Table>();
    const std::string hint = forgot_quotes ? "Put it in quotes." : fmt::format("Write it like {} = {}.", key, example);
    return Error({node.place, fmt::format("{} is {}, not {}", in_quotes(key), Reader::describe(node), kind), "", hint});
}

std::string Config::text(std::string_view key) const {
    const Node& node = require(key, a_text.kind, a_text.example);
    if (const auto* text = node.as<std::string>()) return *text;
    throw mismatch(key, a_text.kind, a_text.example);
}

std::int64_t Config::integer(std::string_view key) const {
    const Node& node = require(key, an_integer.kind, an_integer.example);
    if (const auto* integer = node.as<std::int64_t>()) return *integer;
    throw mismatch(key, an_integer.kind, an_integer.example);
}

double Config::number(std::string_view key) const {
    const Node& node = require(key, a_number.kind, a_number.example);
    if (const auto* integer = node.as<std::int64_t>()) return static_cast<double>(*integer);
    const auto* number = node.as<double>();
    if (number && std::isfinite(*number)) return *number;
    throw mismatch(key, number ? "a finite number" : a_number.kind, a_number.example);
}

bool Config::flag(std::string_view key) const {
    const Node& node = require(key, a_flag.kind, a_flag.example);
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
    const std::string chosen = text(key);
    if (std::find(allowed.begin(), allowed.end(), chosen) != allowed.end()) return chosen;
    throw error(key, fmt::format("{} is no {}", in_quotes(chosen), key), "", did_you_mean(chosen, allowed));
}

double Config::amount(std::string_view key, Dimension dimension) const {
    const std::string kind = wb::describe(dimension);
    const bool plain = dimension == Dimension{};
    const std::string example = plain ? wb::example(dimension) : in_quotes(wb::example(dimension));
    const Node& node = require(key, kind, example);
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
    return Reader::value(*node_->table().find(key)->node);
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

Config Config::view(std::string_view key, std::shared_ptr<Node> node) const {
    return Config(document_, std::move(node), title_.empty() ? std::string(key) : fmt::format("{}.{}", title_, key));
}

Config Config::table(std::string_view key) const {
    require(key, a_table.kind, a_table.example);
    const auto node = node_->table().find(key)->node;
    if (!node->as<Node::Table>()) throw mismatch(key, a_table.kind, a_table.example);
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
    if (node->as<Node::Table>()) return {view(key, node)};
    const auto* list = node->as<Node::List>();
    if (!list) throw mismatch(key, some_tables.kind, some_tables.example);
    std::vector<Config> out;
    for (const auto& item : *list) {
        if (!item->as<Node::Table>()) {
            throw Error(
                {item->place, fmt::format("{} in {} is no table", Reader::describe(*item), in_quotes(key)), "", ""});
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
    std::vector<Reader::Unread> unread;
    Reader::unread(*node_, title_, unread);
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
    std::shared_ptr<Node>* at = &node_;
    for (const std::string& part : *parts) at = Reader::step(*at, part, place);
    *at = Reader::override_node(toml_value, place);
}

std::string Config::source_text() const { return document_->text; }
std::string Config::file() const { return document_->name; }

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
