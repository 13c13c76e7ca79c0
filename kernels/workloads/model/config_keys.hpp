#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace wb {

/// One config.json: typed access with errors that name the file and the key. The same figure has other names in other
/// families (n_embd, hidden_size): a reader gives all of them, the usual one first.
class ConfigKeys {
public:
    using Names = std::initializer_list<const char*>;

    /// Reads the file. Throws Error if it is no JSON object.
    explicit ConfigKeys(const std::string& path);
    ~ConfigKeys();

    const std::string& file() const { return file_; }
    /// Whether the key is there and not null.
    bool has(const char* key) const;
    /// Whole numbers of at least 1. Throws Error with what the file does have if none of the names is there.
    std::int64_t size(Names names) const;
    std::int64_t size_or(Names names, std::int64_t fallback) const;
    /// As size_or, 0 allowed.
    std::int64_t count_or(Names names, std::int64_t fallback) const;
    double number_or(Names names, double fallback) const;
    bool flag_or(const char* key, bool fallback) const;
    std::string word_or(Names names, const std::string& fallback) const;
    /// A list of texts; empty if the key is missing.
    std::vector<std::string> words(const char* key) const;
    /// A number, text or flag inside the table `table`, as text; empty if it is missing.
    std::string inside(const char* table, const char* key) const;
    [[noreturn]] void fail(const std::string& key, std::string problem, std::string why, std::string hint = "") const;

private:
    const char* first_of(Names names) const;
    std::string known() const;

    struct Object;
    std::unique_ptr<const Object> object_;
    std::string file_;
};

}  // namespace wb
