#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace wb {

/// One quantity, one value per row, with everything a reader needs to understand it.
struct Column {
    using Data = std::variant<std::vector<double>, std::vector<std::int64_t>, std::vector<std::uint8_t>,
                              std::vector<std::string>>;
    std::string name;             ///< letters, digits, '_', '-', '.'; "row_id" is taken
    std::string units;            ///< UDUNITS: "s", "B", "J", "W", "1"; text columns may leave it empty
    std::string description;      ///< a phrase
    std::string kind;             ///< measured, modelled, derived, input, reference, ...; never empty
    std::string better = "none";  ///< lower, higher, exact, none
    Data data;
    std::optional<double> unit_si{};  ///< openPMD's unitSI: factor to the SI unit; absent where there is none (money)

    std::size_t size() const;
};

/// Columns of equal length; stored as one group. Ragged data are two tables: values, and offsets into them (CSR).
struct Table {
    std::string name;  ///< path of the group without the leading '/', such as "cases" or "systems/host"
    std::string description;
    std::vector<Column> columns;

    /// Common length of all columns; 0 without columns. Contract: lengths are equal.
    std::size_t rows() const;
    /// The column of that name, or nullptr.
    const Column* find(std::string_view column) const;
};

/// Values of a column as type T (double, std::int64_t, std::uint8_t, std::string).
/// Throws Error (Exit::baseline), naming table and column, when the column is absent or of another type.
template <class T>
const std::vector<T>& values(const Table& table, std::string_view column);

extern template const std::vector<double>& values(const Table&, std::string_view);
extern template const std::vector<std::int64_t>& values(const Table&, std::string_view);
extern template const std::vector<std::uint8_t>& values(const Table&, std::string_view);
extern template const std::vector<std::string>& values(const Table&, std::string_view);

/// `text` with every byte that is not part of valid UTF-8, and every NUL, replaced by U+FFFD.
/// Stored strings must be UTF-8, but a strange host name shall not stop a campaign from being published.
std::string clean_utf8(std::string_view text);

}  // namespace wb
