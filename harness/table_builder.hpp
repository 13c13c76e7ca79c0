#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "harness/table.hpp"

namespace wb {

/// Builds one table a row at a time.
class TableBuilder {
public:
    TableBuilder(std::string name, std::string description) {
        table_.name = std::move(name), table_.description = std::move(description);
    }

    struct Spec {
        const char *name, *units, *description, *kind = "derived", *better = "none";
    };
    void real(const Spec& s, double v) { put<double>(s, v); }
    void whole(const Spec& s, std::int64_t v) { put<std::int64_t>(s, v); }
    void flag(const Spec& s, bool v) { put<std::uint8_t>(s, v ? 1 : 0); }
    void text(const char* name, const char* description, std::string v, const char* kind = "input") {
        put<std::string>({name, "", description, kind}, std::move(v));
    }
    void end_row() { at_ = 0; }
    Table take() { return std::move(table_); }

private:
    template <class T>
    void put(const Spec& s, T v) {
        if (at_ == table_.columns.size())
            table_.columns.push_back({s.name, s.units, s.description, s.kind, s.better, std::vector<T>{}, {}});
        Column& c = table_.columns[at_++];
        WB_EXPECT(c.name == s.name);
        std::get<std::vector<T>>(c.data).push_back(std::move(v));
    }
    Table table_;
    std::size_t at_ = 0;
};

}  // namespace wb
