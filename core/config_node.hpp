#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/config.hpp"

namespace wb {

/// One value of a configuration file with its place, and whether anyone has read it. Config is the view of such a tree;
/// nobody else needs it.
struct ConfigNode {
    struct Entry {
        std::string key, place;  // place of the key, not of its value
        std::shared_ptr<ConfigNode> node;
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
    using List = std::vector<std::shared_ptr<ConfigNode>>;
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

/// The file's only reader. Throws Error at file:line:column; `name` stands for the file.
std::shared_ptr<ConfigNode> read_toml(const std::string& text, const std::string& name);

/// What `set` puts in: TOML, or a text if it is none and does not look as if it wanted to be. Throws Error at `place`.
std::shared_ptr<ConfigNode> override_node(std::string_view text, const std::string& place);

/// Where the next part of a path leads; a table that is missing is made. Throws Error at `place` below a plain value,
/// and for an index past an array's end.
std::shared_ptr<ConfigNode>* descend(std::shared_ptr<ConfigNode>& at, const std::string& part,
                                     const std::string& place);

/// "the integer 3", "an array": for messages.
std::string describe(const ConfigNode& node);

/// The value with all below it, which count as read from now on. Throws Error for a date.
Value to_value(ConfigNode& from);

/// A key that nobody has read, and the table that has it.
struct UnreadKey {
    const ConfigNode::Entry* entry;
    const ConfigNode::Table* table;
    std::string title;  ///< of the table: "memory.0", empty for the whole file
};
/// Appends those below `node`, a table called `title`, in the order of the file.
void collect_unread(const ConfigNode& node, const std::string& title, std::vector<UnreadKey>& out);

}  // namespace wb
