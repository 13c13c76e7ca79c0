#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "harness/table.hpp"

namespace wb {

/// Version of the layout written here. A reader refuses another major version and accepts every minor one.
inline constexpr std::string_view schema_version = "1.4.0";

using AttributeValue = std::variant<double, std::int64_t, std::string, std::vector<std::string>>;
using ObjectAttributes = std::map<std::string, AttributeValue, std::less<>>;

/// A dense array of doubles with one or two named axes, row-major.
struct Array {
    std::string path;   ///< "comm/matrix_bytes": a dataset within a group, without the leading '/'
    std::string units;  ///< as in Column
    std::string description;
    std::string kind;
    std::string better = "none";
    std::vector<std::string> axes;   ///< names in the same group: created as 0, 1, 2, ... or, if there, of equal length
    std::vector<std::size_t> shape;  ///< one or two extents
    std::vector<double> data;        ///< product of the shape
    std::optional<double> unit_si{};
};

/// What /integrity keeps of one object: CRC-32C over its attributes, type, shape and values.
struct ObjectDigest {
    std::uint32_t crc = 0;
    std::uint64_t rows = 0;  ///< length of the first axis; 0 for groups
    char type = 'g';         ///< d, i, b, s, g: double, int64, uint8, text, group
    bool operator==(const ObjectDigest&) const = default;
};

/// Builds a results file in memory, so that a full disk meets one write of a known size instead of the HDF5 library.
/// Strings are cleaned with clean_utf8. HDF5's own failures throw Error (Exit::io); a broken table is a contract
/// failure.
class Hdf5Writer {
public:
    /// `place` names the file in messages. Writes root attributes Conventions and waferbench_schema_version.
    explicit Hdf5Writer(std::string place);
    Hdf5Writer(Hdf5Writer&&) noexcept;
    ~Hdf5Writer();

    /// An attribute of the file as a whole. Keep them fewer than 8: the rest belongs to text().
    void attribute(const std::string& name, const AttributeValue& value);
    /// A group of 1-D datasets with a dimension scale row_id = 0, 1, 2, ...
    void write(const Table& table);
    void write(const Array& array);
    /// A scalar UTF-8 string, such as path "provenance/config_toml".
    void text(const std::string& path, std::string_view text, const std::string& description = "");

    /// Writes /integrity (digests, record_count, closed = 1), flushes and closes. Returns the bytes of the file.
    /// The writer is spent afterwards.
    std::vector<std::byte> finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads results files, of this and later minor versions; ignores what it is not asked for.
/// The HDF5 library keeps global state: use readers and writers from one thread at a time.
class Hdf5Reader {
public:
    /// Throws Error (Exit::baseline): missing, not HDF5, truncated, broken seal, not a waferbench file, or of a newer
    /// major version. Reads the whole file once to check the seal; one without a seal (repacked, edited) is trusted.
    explicit Hdf5Reader(const std::filesystem::path& path);
    Hdf5Reader(Hdf5Reader&&) noexcept;
    ~Hdf5Reader();

    /// ObjectAttributes of an object ("" is the root), without those of dimension scales.
    ObjectAttributes attributes(const std::string& object = "") const;
    std::optional<AttributeValue> attribute(const std::string& object, const std::string& name) const;
    /// Names of the groups, and of the datasets, right under a group ("" is the root), sorted.
    std::vector<std::string> groups(const std::string& parent = "") const;
    std::vector<std::string> datasets(const std::string& parent = "") const;
    bool has(const std::string& path) const;
    /// False when the file has no seal: its numbers are as the library reads them, unproven.
    bool sealed() const;

    /// A table with all columns and what is known of them. Throws Error (Exit::baseline) when absent or damaged.
    Table table(const std::string& name) const;
    Array array(const std::string& path) const;
    std::string text(const std::string& path) const;

    /// Digests of all objects but /integrity, by path ("" is the root), read back from the file.
    std::map<std::string, ObjectDigest> digests() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The seal: 20 bytes behind the end of the HDF5 part, where HDF5 readers do not look: "WBSEAL1\n", u64 number of bytes
/// before the seal, u32 CRC-32C of those bytes and that number; little-endian. libhdf5 1.10 crashes on some files with
/// one flipped bit, so a damaged file must be recognised before the library sees it.
enum class Seal { whole, absent, broken };
void add_seal(std::vector<std::byte>& image);
/// Adds the seal to a file that is closed, and waits until all of it is on the disk. Throws Error (io).
void seal_file(const std::filesystem::path& path);
/// Throws Error (Exit::baseline) when the file cannot be read.
Seal check_seal(const std::filesystem::path& path);

/// What both sides compute. `type` as in ObjectDigest; a group's values_crc is 0.
std::uint32_t digest_of(const ObjectAttributes& attributes, char type, const std::vector<std::uint64_t>& shape,
                        std::uint32_t values_crc);
/// CRC-32C of values: little-endian bytes; of texts, each with its u64 length before it.
std::uint32_t values_digest(const Column::Data& data);

}  // namespace wb
