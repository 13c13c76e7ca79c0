#include "harness/hdf5_file.hpp"

#include <bit>

#include "core/crc32c.hpp"

namespace wb {
namespace {

static_assert(std::endian::native == std::endian::little, "digests are taken over little-endian values");

std::uint32_t add_number(std::uint64_t value, std::uint32_t crc) { return crc32c(&value, sizeof value, crc); }

std::uint32_t add_text(std::string_view text, std::uint32_t crc) { return crc32c(text, add_number(text.size(), crc)); }

std::uint32_t add_value(const AttributeValue& value, std::uint32_t crc) {
    crc = add_number(value.index(), crc);
    if (const auto* number = std::get_if<double>(&value)) return crc32c(number, sizeof *number, crc);
    if (const auto* number = std::get_if<std::int64_t>(&value)) return crc32c(number, sizeof *number, crc);
    if (const auto* text = std::get_if<std::string>(&value)) return add_text(*text, crc);
    const auto& list = std::get<std::vector<std::string>>(value);
    crc = add_number(list.size(), crc);
    for (const std::string& text : list) crc = add_text(text, crc);
    return crc;
}

}  // namespace

std::uint32_t values_digest(const Column::Data& data) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&data)) {
        std::uint32_t crc = 0;
        for (const std::string& text : *texts) crc = add_text(text, crc);
        return crc;
    }
    return std::visit([](const auto& vector) { return crc32c(vector.data(), vector.size() * sizeof vector[0]); }, data);
}

std::uint32_t digest_of(const Attributes& attributes, char type, const std::vector<std::uint64_t>& shape,
                        std::uint32_t values_crc) {
    std::uint32_t crc = crc32c(&type, 1);
    crc = add_number(shape.size(), crc);
    for (const std::uint64_t extent : shape) crc = add_number(extent, crc);
    crc = add_number(attributes.size(), crc);
    for (const auto& [name, value] : attributes) crc = add_value(value, add_text(name, crc));
    return add_number(values_crc, crc);
}

}  // namespace wb
