#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.hpp"
#include "core/units.hpp"

namespace wb {

/// Any TOML value but a date. Inline tables keep the order of the file.
struct Value {
    using List = std::vector<Value>;
    struct Pair;
    using Pairs = std::vector<Pair>;
    std::variant<std::int64_t, double, bool, std::string, List, Pairs> data;
    std::string where;  ///< file:line:column

    template <class T>
    const T* as() const {
        return std::get_if<T>(&data);
    }
};

struct Value::Pair {
    std::string key;
    Value value;
};

/// As one would write it in TOML on one line: `[1, "a", {m = 2}]`.
std::string to_text(const Value& value);

struct ConfigNode;

/// A view of one table of a TOML file that remembers, together with all other views of the file, which keys were read;
/// `finish` refuses the rest, so that no misspelt key is ever ignored. Every reader throws Error with file:line:column.
/// Copies are cheap and see the same file. Not for several threads at once.
class Config {
public:
    /// Throws Error if the file cannot be read or is not TOML.
    static Config load(const std::string& path);
    /// `name` stands for the file in messages.
    static Config parse(std::string text, std::string name);

    /// Whether the key is there; does not count as reading it.
    bool has(std::string_view key) const;

    std::string text(std::string_view key) const;
    std::string text_or(std::string_view key, std::string fallback) const;
    std::int64_t integer(std::string_view key) const;
    std::int64_t integer_or(std::string_view key, std::int64_t fallback) const;
    /// Finite; integers are accepted.
    double number(std::string_view key) const;
    double number_or(std::string_view key, double fallback) const;
    bool flag(std::string_view key) const;
    bool flag_or(std::string_view key, bool fallback) const;
    /// A text that must be one of the allowed ones.
    std::string choice(std::string_view key, const std::vector<std::string>& allowed) const;

    /// A text with a unit, see `parse_quantity`: quantity<BytesPerSecond>("bandwidth"). With double, a plain number or
    /// "70 %".
    template <class Q>
    Q quantity(std::string_view key) const {
        return Q(amount(key, dimension_of<Q>));
    }
    template <class Q>
    Q quantity_or(std::string_view key, Q fallback) const {
        return has(key) ? quantity<Q>(key) : fallback;
    }

    /// Anything, with all below it counted as read.
    Value value(std::string_view key) const;
    std::vector<std::string> texts(std::string_view key) const;
    std::vector<std::int64_t> integers(std::string_view key) const;
    std::vector<double> numbers(std::string_view key) const;

    Config table(std::string_view key) const;
    std::optional<Config> maybe_table(std::string_view key) const;
    /// An array of tables, or one table as the only one; empty if the key is missing.
    std::vector<Config> tables(std::string_view key) const;
    /// In the order of the file, then those added by `set`; does not count as reading them.
    std::vector<std::string> keys() const;

    /// file:line:column of the key's value, of this table if the key is missing; `--set path` for what `set` has put
    /// there.
    std::string where(std::string_view key) const;
    std::string where() const;
    /// A mistake at `where(key)`, to be thrown by whoever found it.
    Error error(std::string_view key, std::string problem, std::string why, std::string hint) const;

    /// Throws Error at the first key, of this table or below, that nobody has read.
    void finish() const;

    /// Overrides or adds one value below this table. In the path, names and array indices from 0 are parted by points
    /// (`protocol.min_time`, `workload.0.m`, `sizes."a.b"`); tables that are missing are made. The value is TOML; a
    /// word that is none becomes a string. Throws Error at `--set path`.
    void set(std::string_view dotted_path, std::string_view toml_value);

    std::string source_text() const;  ///< the file as it was read, without what `set` changed
    std::string file() const;

private:
    struct Document;
    Config(std::shared_ptr<const Document> document, std::shared_ptr<ConfigNode> node, std::string title);
    const ConfigNode& require(std::string_view key, std::string_view kind, std::string_view example) const;
    Error mismatch(std::string_view key, std::string_view kind, std::string_view example) const;
    double amount(std::string_view key, Dimension dimension) const;
    Config view(std::string_view key, std::shared_ptr<ConfigNode> node) const;
    template <class T>
    std::vector<T> list(std::string_view key, std::string_view kind) const;

    std::shared_ptr<const Document> document_;
    std::shared_ptr<ConfigNode> node_;
    std::string title_;  // "memory.0" for messages; empty for the whole file
};

}  // namespace wb
