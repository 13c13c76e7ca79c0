// Reads and prints: compiled at -O1.
#include "harness/table.hpp"

#include <fmt/core.h>

#include "core/error.hpp"

namespace wb {
namespace {

/// Length of the valid UTF-8 sequence at the front of `text` (Unicode 15, table 3-7); 0 if there is none.
std::size_t sequence_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return lead == 0 ? 0 : 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (text.size() < length) return 0;
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (lead == 0xE0) low = 0xA0;   // overlong
    if (lead == 0xED) high = 0x9F;  // surrogates
    if (lead == 0xF0) low = 0x90;   // overlong
    if (lead == 0xF4) high = 0x8F;  // beyond U+10FFFF
    if (byte(1) < low || byte(1) > high) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if ((byte(i) & 0xC0u) != 0x80u) return 0;
    return length;
}

const char* type_name(const Column::Data& data) {
    constexpr const char* names[] = {"double", "int64", "uint8", "text"};
    return names[data.index()];
}

}  // namespace

std::size_t Column::size() const {
    return std::visit([](const auto& vector) { return vector.size(); }, data);
}

std::size_t Table::rows() const {
    if (columns.empty()) return 0;
    const std::size_t count = columns.front().size();
    for (const Column& column : columns) WB_EXPECT(column.size() == count);
    return count;
}

const Column* Table::find(std::string_view column) const {
    for (const Column& candidate : columns)
        if (candidate.name == column) return &candidate;
    return nullptr;
}

template <class T>
const std::vector<T>& values(const Table& table, std::string_view column) {
    const std::string place = fmt::format("table {}, column {}", table.name, column);
    const Column* found = table.find(column);
    if (!found) throw Error({place, "there is no such column", "the file is of another schema", ""}, Exit::baseline);
    if (const auto* data = std::get_if<std::vector<T>>(&found->data)) return *data;
    const Column::Data wanted = std::vector<T>();
    throw Error({place, fmt::format("is of type {}, not {}", type_name(found->data), type_name(wanted)),
                 "the file is of another schema", ""},
                Exit::baseline);
}

template const std::vector<double>& values(const Table&, std::string_view);
template const std::vector<std::int64_t>& values(const Table&, std::string_view);
template const std::vector<std::uint8_t>& values(const Table&, std::string_view);
template const std::vector<std::string>& values(const Table&, std::string_view);

std::string clean_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = sequence_length(text);
        if (length == 0) out += "\xEF\xBF\xBD";
        out += text.substr(0, length);
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

}  // namespace wb
