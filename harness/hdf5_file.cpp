#include "harness/hdf5_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "core/crc32c.hpp"
#include "core/error.hpp"

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

constexpr std::string_view seal_magic = "WBSEAL1\n";
constexpr std::size_t seal_bytes = 20;

using SealBytes = std::array<char, seal_bytes>;

SealBytes seal_of(std::uint64_t size, std::uint32_t crc) {
    SealBytes out{};
    const std::uint32_t sealed = add_number(size, crc);
    std::memcpy(out.data(), seal_magic.data(), seal_magic.size());
    std::memcpy(out.data() + 8, &size, 8);
    std::memcpy(out.data() + 16, &sealed, 4);
    return out;
}

}  // namespace

void add_seal(std::vector<std::byte>& image) {
    const SealBytes seal = seal_of(image.size(), crc32c(image.data(), image.size()));
    const auto* begin = reinterpret_cast<const std::byte*>(seal.data());
    image.insert(image.end(), begin, begin + seal.size());
}

void seal_file(const std::filesystem::path& path) {
    const auto stop = [&](const char* doing) {
        throw Error({path.string(), fmt::format("cannot be {}: {}", doing, std::strerror(errno)), "it is not whole",
                     "Make room on the disk."},
                    Exit::io);
    };
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) stop("opened");
    std::vector<char> block(std::size_t{1} << 20);
    std::uint32_t crc = 0;
    std::uint64_t size = 0;
    ssize_t part = 0;
    while ((part = ::read(file, block.data(), block.size())) > 0) {
        crc = crc32c(block.data(), static_cast<std::size_t>(part), crc);
        size += static_cast<std::uint64_t>(part);
    }
    const SealBytes seal = seal_of(size, crc);
    const bool written = part == 0 && ::write(file, seal.data(), seal.size()) == static_cast<ssize_t>(seal.size()) &&
                         ::fdatasync(file) == 0;
    const int error = errno;
    ::close(file);
    errno = error;
    if (!written) stop("sealed");
}

Seal check_seal(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    const auto size = in.seekg(0, std::ios::end).tellg();
    if (!in || size < std::streamoff(seal_bytes)) {
        if (in) return Seal::absent;
        throw Error({path.string(), "cannot be read", "", "Check permissions and the disk."}, Exit::baseline);
    }
    SealBytes found{};
    in.seekg(size - std::streamoff(seal_bytes)).read(found.data(), found.size());
    if (!std::string_view(found.data(), found.size()).starts_with(seal_magic)) return Seal::absent;
    const std::uint64_t covered = std::uint64_t(size) - seal_bytes;
    std::vector<char> block(std::size_t{1} << 20);
    std::uint32_t crc = 0;
    in.seekg(0);
    for (std::uint64_t left = covered; in && left > 0;) {
        const std::size_t part = std::min<std::uint64_t>(left, block.size());
        in.read(block.data(), std::streamsize(part));
        crc = crc32c(block.data(), part, crc);
        left -= part;
    }
    if (!in) throw Error({path.string(), "cannot be read to its end", "", "Check the disk."}, Exit::baseline);
    return found == seal_of(covered, crc) ? Seal::whole : Seal::broken;
}

std::uint32_t values_digest(const Column::Data& data) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&data)) {
        std::uint32_t crc = 0;
        for (const std::string& text : *texts) crc = add_text(text, crc);
        return crc;
    }
    return std::visit([](const auto& vector) { return crc32c(vector.data(), vector.size() * sizeof vector[0]); }, data);
}

std::uint32_t digest_of(const ObjectAttributes& attributes, char type, const std::vector<std::uint64_t>& shape,
                        std::uint32_t values_crc) {
    std::uint32_t crc = crc32c(&type, 1);
    crc = add_number(shape.size(), crc);
    for (const std::uint64_t extent : shape) crc = add_number(extent, crc);
    crc = add_number(attributes.size(), crc);
    for (const auto& [name, value] : attributes) crc = add_value(value, add_text(name, crc));
    return add_number(values_crc, crc);
}

}  // namespace wb
