#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <system_error>

#include "harness/hdf5_file.hpp"
#include "harness/hdf5_handle.hpp"

namespace wb {
namespace {

constexpr int deepest = 16;

/// ObjectAttributes that dimension scales and netCDF keep for themselves.
bool internal(std::string_view name) {
    constexpr std::string_view names[] = {"CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST"};
    return std::find(std::begin(names), std::end(names), name) != std::end(names) || name.starts_with("_Netcdf4") ||
           name.starts_with("DIMENSION_LABELS");
}

struct Dataset {
    char type = 's';
    std::vector<std::uint64_t> shape;
    Column::Data data;
};

}  // namespace

struct Hdf5Reader::State {
    Hdf5Place place;
    std::uint64_t file_bytes = 0;
    Seal seal = Seal::absent;
    Handle file;
    Handle text;

    void open(const std::filesystem::path& path);
    void check_version(const ObjectAttributes& root) const;
    Handle object(const std::string& path) const;
    ObjectAttributes attributes(hid_t object, const std::string& path) const;
    std::optional<AttributeValue> attribute(hid_t object, const std::string& name, const std::string& path) const;
    std::vector<std::string> children(const std::string& parent, H5I_type_t wanted) const;
    std::vector<std::string> texts(std::size_t count, hid_t space, const std::function<herr_t(char**)>& read,
                                   const std::string& doing) const;
    Dataset dataset(const std::string& path) const;
    Column::Data values(hid_t dataset, hid_t space, std::size_t count, const std::string& path, char& type) const;
    void digests(const std::string& path, int depth, std::map<std::string, ObjectDigest>& out) const;
    [[noreturn]] void damaged(const std::string& problem) const {
        throw Error({place.file, problem, "the file is damaged or of another schema", ""}, Exit::baseline);
    }
};

void Hdf5Reader::State::open(const std::filesystem::path& path) {
    place = {path.string(), Exit::baseline};
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        const std::string reason = std::generic_category().message(errno);
        throw Error({place.file, "cannot open the results: " + reason, "", "Check the path."}, Exit::baseline);
    }
    if (!S_ISREG(status.st_mode))
        throw Error({place.file, "is not a regular file", "", "Check the path."}, Exit::baseline);
    file_bytes = static_cast<std::uint64_t>(status.st_size);
    seal = check_seal(path);
    if (seal == Seal::broken)
        throw Error({place.file, "is damaged: the checksum of the whole file is wrong", "any number in it may be wrong",
                     "Rebuild it from its journal, or take another copy."},
                    Exit::baseline);
    const htri_t is_hdf5 = H5Fis_hdf5(place.file.c_str());
    if (is_hdf5 == 0)
        throw Error({place.file, "is not an HDF5 file", "", "Give a results file, such as results/<run>.h5."},
                    Exit::baseline);
    const Handle access = place.own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "open the results");
    place.check(H5Pset_file_locking(access, true, true), "open the results");
    file = place.own(H5Fopen(place.file.c_str(), H5F_ACC_RDONLY, access), H5Fclose, "open the results");
    text = text_type(place);
}

void Hdf5Reader::State::check_version(const ObjectAttributes& root) const {
    const auto found = root.find("waferbench_schema_version");
    const std::string* version = found == root.end() ? nullptr : std::get_if<std::string>(&found->second);
    if (!version)
        throw Error({place.file, "is HDF5, but not a waferbench results file",
                     "it has no attribute waferbench_schema_version", ""},
                    Exit::baseline);
    unsigned major = 0;
    const auto parsed = std::from_chars(version->data(), version->data() + version->size(), major);
    if (parsed.ec != std::errc() || parsed.ptr == version->data() + version->size() || *parsed.ptr != '.')
        damaged(fmt::format("schema version \"{}\" is not of the form 1.0.0", *version));
    unsigned own_major = 0;
    std::from_chars(schema_version.data(), schema_version.data() + schema_version.size(), own_major);
    if (major > own_major)
        throw Error({place.file, fmt::format("has schema {}; this waferbench reads up to {}.x", *version, own_major),
                     "its columns may mean something else", "Use a newer waferbench."},
                    Exit::baseline);
}

Handle Hdf5Reader::State::object(const std::string& path) const {
    return place.own(H5Oopen(file, path.empty() ? "/" : path.c_str(), H5P_DEFAULT), H5Oclose, "open /" + path);
}

std::vector<std::string> Hdf5Reader::State::texts(std::size_t count, hid_t space,
                                                  const std::function<herr_t(char**)>& read,
                                                  const std::string& doing) const {
    std::vector<char*> pointers(count, nullptr);
    std::vector<std::string> out(count);
    if (count == 0) return out;
    const bool failed = read(pointers.data()) < 0;
    const std::string reason = failed ? hdf5_error_text() : "";
    if (!failed)
        for (std::size_t i = 0; i < count; ++i) out[i] = pointers[i] ? pointers[i] : "";
    H5Dvlen_reclaim(text, space, H5P_DEFAULT, pointers.data());
    if (failed) damaged("cannot " + doing + ": " + reason);
    return out;
}

std::optional<AttributeValue> Hdf5Reader::State::attribute(hid_t owner, const std::string& name,
                                                           const std::string& path) const {
    const std::string doing = "read attribute " + name + " of /" + path;
    const Handle made = place.own(H5Aopen(owner, name.c_str(), H5P_DEFAULT), H5Aclose, doing);
    const Handle type = place.own(H5Aget_type(made), H5Tclose, doing);
    const Handle space = place.own(H5Aget_space(made), H5Sclose, doing);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    const bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
    const H5T_class_t kind = H5Tget_class(type);
    if (count < 0 || std::uint64_t(count) > file_bytes) damaged("cannot " + doing + ": absurd length");
    if (kind == H5T_STRING && H5Tis_variable_str(type) > 0) {
        auto list = texts(
            std::size_t(count), space, [&](char** out) { return H5Aread(made, text, out); }, doing);
        if (scalar && list.size() == 1) return AttributeValue(std::move(list[0]));
        return AttributeValue(std::move(list));
    }
    if (!scalar) return {};
    if (kind == H5T_FLOAT) {
        double number = 0;
        place.check(H5Aread(made, H5T_NATIVE_DOUBLE, &number), doing);
        return AttributeValue(number);
    }
    if (kind == H5T_INTEGER) {
        std::int64_t number = 0;
        place.check(H5Aread(made, H5T_NATIVE_INT64, &number), doing);
        return AttributeValue(number);
    }
    return {};  // of a later minor version: ignored
}

ObjectAttributes Hdf5Reader::State::attributes(hid_t owner, const std::string& path) const {
    std::vector<std::string> names;
    const auto collect = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
        static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    hsize_t at = 0;
    place.check(H5Aiterate2(owner, H5_INDEX_NAME, H5_ITER_INC, &at, collect, &names), "list attributes of /" + path);
    ObjectAttributes out;
    for (const std::string& name : names) {
        if (internal(name)) continue;
        if (auto value = attribute(owner, name, path)) out.emplace(name, std::move(*value));
    }
    return out;
}

std::vector<std::string> Hdf5Reader::State::children(const std::string& parent, H5I_type_t wanted) const {
    std::vector<std::string> names;
    const auto collect = [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
        if (info->type == H5L_TYPE_HARD) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
        return 0;
    };
    const Handle group = object(parent);
    if (H5Iget_type(group) != H5I_GROUP) damaged("/" + parent + " is not a group");
    hsize_t at = 0;
    place.check(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, collect, &names), "list /" + parent);
    std::vector<std::string> out;
    for (std::string& name : names)
        if (H5Iget_type(object(parent.empty() ? name : fmt::format("{}/{}", parent, name))) == wanted)
            out.push_back(std::move(name));
    return out;
}

Column::Data Hdf5Reader::State::values(hid_t made, hid_t space, std::size_t count, const std::string& path,
                                       char& type) const {
    const std::string doing = "read /" + path;
    const Handle stored = place.own(H5Dget_type(made), H5Tclose, doing);
    const H5T_class_t kind = H5Tget_class(stored);
    const std::size_t bytes = H5Tget_size(stored);
    const auto read = [&](hid_t memory, void* out) {
        if (count > 0) place.check(H5Dread(made, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, out), doing);
    };
    // Deflate packs at most 1032 to 1 (zlib's own figure), so a dataset longer than that is a lie.
    const std::uint64_t stored_bytes = std::min<std::uint64_t>(H5Dget_storage_size(made), file_bytes);
    if (count > stored_bytes * 1040 / std::max<std::size_t>(bytes, 1)) damaged("/" + path + " claims an absurd length");
    if (kind == H5T_FLOAT) {
        type = 'd';
        std::vector<double> out(count);
        read(H5T_NATIVE_DOUBLE, out.data());
        return out;
    }
    if (kind == H5T_INTEGER && bytes == 1 && H5Tget_sign(stored) == H5T_SGN_NONE) {
        type = 'b';
        std::vector<std::uint8_t> out(count);
        read(H5T_NATIVE_UINT8, out.data());
        return out;
    }
    if (kind == H5T_INTEGER && (bytes < 8 || H5Tget_sign(stored) == H5T_SGN_2)) {
        type = 'i';
        std::vector<std::int64_t> out(count);
        read(H5T_NATIVE_INT64, out.data());
        return out;
    }
    if (kind != H5T_STRING) damaged("/" + path + " is of a type that is not read here");
    type = 's';
    if (H5Tis_variable_str(stored) <= 0) {
        std::string packed(count * bytes, '\0');
        read(stored, packed.data());
        std::vector<std::string> out(count);
        for (std::size_t i = 0; i < count; ++i) {
            out[i].assign(packed, i * bytes, bytes);
            out[i].erase(std::min(out[i].find('\0'), out[i].size()));
        }
        return out;
    }
    return texts(
        count, space, [&](char** out) { return H5Dread(made, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, out); }, doing);
}

Dataset Hdf5Reader::State::dataset(const std::string& path) const {
    const std::string doing = "read /" + path;
    const Handle made = place.own(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose, doing);
    const Handle space = place.own(H5Dget_space(made), H5Sclose, doing);
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > 2) damaged("/" + path + " has neither 0, 1 nor 2 axes");
    std::vector<hsize_t> extents(std::size_t(rank), 0);
    place.check(H5Sget_simple_extent_dims(space, extents.data(), nullptr), doing);
    Dataset out;
    std::uint64_t count = 1;
    for (const hsize_t extent : extents) {
        if (extent != 0 && count > file_bytes * 1040 / extent) damaged("/" + path + " claims an absurd length");
        count *= extent;
        out.shape.push_back(extent);
    }
    out.data = values(made, space, count, path, out.type);
    return out;
}

void Hdf5Reader::State::digests(const std::string& path, int depth, std::map<std::string, ObjectDigest>& out) const {
    if (path == "integrity") return;
    if (depth > deepest) damaged("/" + path + " lies too deep");
    out[path] = {digest_of(attributes(object(path), path), 'g', {}, 0), 0};
    const std::string prefix = path.empty() ? "" : path + "/";
    for (const std::string& name : children(path, H5I_DATASET)) {
        const Dataset read = dataset(prefix + name);
        const auto own = attributes(object(prefix + name), prefix + name);
        out[prefix + name] = {digest_of(own, read.type, read.shape, values_digest(read.data)),
                              read.shape.empty() ? 0 : read.shape[0], read.type};
    }
    for (const std::string& name : children(path, H5I_GROUP)) digests(prefix + name, depth + 1, out);
}

Hdf5Reader::Hdf5Reader(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
    const QuietHdf5 quiet;
    state_->open(path);
    state_->check_version(state_->attributes(state_->file, ""));
}

Hdf5Reader::Hdf5Reader(Hdf5Reader&&) noexcept = default;
Hdf5Reader::~Hdf5Reader() = default;

ObjectAttributes Hdf5Reader::attributes(const std::string& object) const {
    const QuietHdf5 quiet;
    return state_->attributes(state_->object(object), object);
}

std::optional<AttributeValue> Hdf5Reader::attribute(const std::string& object, const std::string& name) const {
    ObjectAttributes all = attributes(object);
    const auto found = all.find(name);
    if (found == all.end()) return {};
    return std::move(found->second);
}

std::vector<std::string> Hdf5Reader::groups(const std::string& parent) const {
    const QuietHdf5 quiet;
    return state_->children(parent, H5I_GROUP);
}

std::vector<std::string> Hdf5Reader::datasets(const std::string& parent) const {
    const QuietHdf5 quiet;
    return state_->children(parent, H5I_DATASET);
}

bool Hdf5Reader::sealed() const { return state_->seal == Seal::whole; }

bool Hdf5Reader::has(const std::string& path) const {
    const QuietHdf5 quiet;
    if (path.empty()) return true;
    for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1))
        if (H5Lexists(state_->file, path.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
    return H5Lexists(state_->file, path.c_str(), H5P_DEFAULT) > 0;
}

namespace {

std::string text_of(const ObjectAttributes& attributes, std::string_view name) {
    const auto found = attributes.find(name);
    const auto* text = found == attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
    return text ? *text : "";
}

std::optional<double> number_of(const ObjectAttributes& attributes, std::string_view name) {
    const auto found = attributes.find(name);
    const auto* number = found == attributes.end() ? nullptr : std::get_if<double>(&found->second);
    return number ? std::optional<double>(*number) : std::nullopt;
}

}  // namespace

Table Hdf5Reader::table(const std::string& name) const {
    if (!has(name)) state_->damaged("there is no table /" + name);
    const QuietHdf5 quiet;
    const ObjectAttributes group = attributes(name);
    const auto order = group.find("waferbench_columns");
    const auto* columns = order == group.end() ? nullptr : std::get_if<std::vector<std::string>>(&order->second);
    if (!columns) state_->damaged("/" + name + " is not a table: it has no attribute waferbench_columns");
    Table out{name, text_of(group, "description"), {}};
    for (const std::string& column : *columns) {
        const std::string path = fmt::format("{}/{}", name, column);
        if (!has(path)) state_->damaged("column /" + path + " is missing");
        Dataset read = state_->dataset(path);
        const ObjectAttributes own = attributes(path);
        if (read.shape.size() != 1) state_->damaged("/" + path + " is not a column");
        if (!out.columns.empty() && out.columns.front().size() != read.shape[0])
            state_->damaged(fmt::format("/{} has {} rows, the columns before it {}", path, read.shape[0],
                                        out.columns.front().size()));
        out.columns.push_back({column, text_of(own, "units"), text_of(own, "description"), text_of(own, "kind"),
                               text_of(own, "better"), std::move(read.data), number_of(own, "unitSI")});
    }
    return out;
}

Array Hdf5Reader::array(const std::string& path) const {
    if (!has(path)) state_->damaged("there is no array /" + path);
    const QuietHdf5 quiet;
    Dataset read = state_->dataset(path);
    auto* numbers = std::get_if<std::vector<double>>(&read.data);
    if (!numbers || read.shape.empty()) state_->damaged("/" + path + " is not an array of doubles");
    const ObjectAttributes own = attributes(path);
    Array out{path,
              text_of(own, "units"),
              text_of(own, "description"),
              text_of(own, "kind"),
              text_of(own, "better"),
              {},
              {read.shape.begin(), read.shape.end()},
              std::move(*numbers),
              number_of(own, "unitSI")};
    const Handle made = state_->object(path);
    for (unsigned axis = 0; axis < out.shape.size(); ++axis) {
        std::string name;
        const auto visit = [](hid_t, unsigned, hid_t scale, void* text) -> herr_t {
            char buffer[256] = {};
            if (H5Iget_name(scale, buffer, sizeof buffer) > 0) *static_cast<std::string*>(text) = buffer;
            return 1;
        };
        H5DSiterate_scales(made, axis, nullptr, visit, &name);
        out.axes.push_back(name.substr(name.rfind('/') + 1));
    }
    return out;
}

std::string Hdf5Reader::text(const std::string& path) const {
    if (!has(path)) state_->damaged("there is no text /" + path);
    const QuietHdf5 quiet;
    Dataset read = state_->dataset(path);
    auto* texts = std::get_if<std::vector<std::string>>(&read.data);
    if (!texts || !read.shape.empty()) state_->damaged("/" + path + " is not a text");
    return std::move(texts->at(0));
}

std::map<std::string, ObjectDigest> Hdf5Reader::digests() const {
    const QuietHdf5 quiet;
    std::map<std::string, ObjectDigest> out;
    state_->digests("", 0, out);
    return out;
}

}  // namespace wb
