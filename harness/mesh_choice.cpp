#include "harness/mesh_choice.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "core/suggest.hpp"

namespace wb {
namespace {

std::optional<int> count(std::string_view text) {
    int n = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), n);
    if (r.ec != std::errc() || r.ptr != text.data() + text.size() || n < 1) return std::nullopt;
    return n;
}

MeshChoice parse(const Value& v) {
    const auto* text = v.as<std::string>();
    const std::size_t x = text ? text->find('x') : std::string::npos;
    if (x != std::string::npos) {
        const auto rows = count(std::string_view(*text).substr(0, x)),
                   columns = count(std::string_view(*text).substr(x + 1));
        if (rows && columns) return {*rows, *columns};
    }
    throw Error({v.where, fmt::format("{} is no mesh", text ? in_quotes(*text) : to_text(v)),
                 "a mesh is rows x columns of PEs", "Write \"32x32\"."});
}

void check(const MeshChoice& m, const Value& v, const System& s) {
    const auto rows = s.mesh.find("rows"), columns = s.mesh.find("columns");
    if (s.kind != SystemKind::wafer || rows == s.mesh.end() || columns == s.mesh.end())
        throw Error({v.where, fmt::format("{} has no mesh of PEs", s.id), "only a wafer has one", "Leave mesh out."});
    if (m.rows > rows->second.value || m.columns > columns->second.value)
        throw Error(
            {v.where, fmt::format("a mesh of {}x{} is larger than that of {}", m.rows, m.columns, s.id),
             fmt::format("a program gets {:.0f}x{:.0f} PEs, rows x columns", rows->second.value, columns->second.value),
             "Use fewer PEs."});
}

}  // namespace

std::vector<MeshChoice> read_meshes(const Config& config, const System& system) {
    std::vector<MeshChoice> out;
    if (!config.has("mesh")) return out;
    const Value value = config.value("mesh");
    const auto one = [&](const Value& v) {
        out.push_back(parse(v));
        check(out.back(), v, system);
    };
    if (const auto* list = value.as<Value::List>())
        for (const Value& v : *list) one(v);
    else
        one(value);
    if (out.empty()) throw Error({value.where, "mesh has no values", "nothing would run", "Write \"32x32\"."});
    return out;
}

}  // namespace wb
