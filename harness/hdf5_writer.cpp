#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "harness/hdf5_file.hpp"
#include "harness/hdf5_handle.hpp"

namespace wb {
namespace {

struct Entry {
    ObjectAttributes attributes;
    char type = 'g';
    std::vector<std::uint64_t> shape;
    std::uint32_t values_crc = 0;
};

/// Bytes of each text where all are short and there are many of them; 0 otherwise.
std::size_t fixed_width(const Column::Data& data) {
    constexpr std::size_t many = 1024, widest = 64;
    const auto* texts = std::get_if<std::vector<std::string>>(&data);
    if (!texts || texts->size() < many) return 0;
    std::size_t width = 1;
    for (const std::string& text : *texts) width = std::max(width, text.size());
    return width <= widest ? width : 0;
}

std::string side_by_side(const std::vector<std::string>& texts, std::size_t width) {
    std::string out(texts.size() * width, '\0');
    for (std::size_t i = 0; i < texts.size(); ++i) texts[i].copy(out.data() + i * width, width);
    return out;
}

const void* bytes_of(const Column::Data& data, std::vector<const char*>& pointers) {
    if (const auto* texts = std::get_if<std::vector<std::string>>(&data)) {
        for (const std::string& text : *texts) pointers.push_back(text.c_str());
        return pointers.data();
    }
    return std::visit([](const auto& vector) -> const void* { return vector.data(); }, data);
}

Column::Data cleaned(const std::vector<std::string>& texts) {
    std::vector<std::string> out;
    out.reserve(texts.size());
    for (const std::string& text : texts) out.push_back(clean_utf8(text));
    return out;
}

bool plain_name(std::string_view name) {
    const auto plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
               c == '.';
    };
    return !name.empty() && name.find_first_not_of('.') != name.npos && std::all_of(name.begin(), name.end(), plain);
}

std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == path.npos ? "" : path.substr(0, slash);
}

/// Chunks of 64 kB, of 256 kB for more than 4 MB; whole rows where they fit.
std::vector<hsize_t> chunk_of(const std::vector<hsize_t>& shape, std::size_t element_bytes) {
    const hsize_t total = std::accumulate(shape.begin(), shape.end(), hsize_t{element_bytes}, std::multiplies<>());
    hsize_t left = (total > (4u << 20) ? 256u * 1024u : 64u * 1024u) / element_bytes;
    std::vector<hsize_t> chunk(shape.size(), 1);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
        chunk[axis] = std::clamp<hsize_t>(left, 1, shape[axis]);
        left = std::max<hsize_t>(1, left / chunk[axis]);
    }
    return chunk;
}

}  // namespace

struct Hdf5Writer::State {
    Hdf5Place place;
    Handle file;
    Handle text;
    std::map<std::string, Entry> entries;  // "" is the root
    std::uint64_t records = 0;

    void open();
    void attribute(hid_t object, const std::string& path, const std::string& name, const AttributeValue& value);
    void ensure_group(const std::string& path);
    Handle dataset(const std::string& path, const std::vector<hsize_t>& shape, const Column::Data& data);
    void scale(const std::string& path, std::size_t length, const std::string& description);
    void attach(hid_t dataset, const std::string& scale_path, unsigned axis);
    void describe(hid_t dataset, const std::string& path, const std::string& units, const std::string& description,
                  const std::string& kind, const std::string& better, std::optional<double> unit_si);
    void integrity();
    hid_t type_of(const Column::Data& data) const;
};

void Hdf5Writer::State::open() {
    text = text_type(place);
    const Handle access = place.own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "set up the file");
    constexpr std::size_t growth_bytes = 4u << 20;
    place.check(H5Pset_fapl_core(access, growth_bytes, false), "set up the file");
    place.check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "set up the file");
    // The core driver tells files apart by name, so two writers of one path need two names.
    const std::string name = fmt::format("{}#{}", place.file, static_cast<const void*>(this));
    file = place.own(H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), H5Fclose, "set up the file");
    entries[""];
}

hid_t Hdf5Writer::State::type_of(const Column::Data& data) const {
    const hid_t types[] = {H5T_IEEE_F64LE, H5T_STD_I64LE, H5T_STD_U8LE, text};
    return types[data.index()];
}

void Hdf5Writer::State::attribute(hid_t object, const std::string& path, const std::string& name,
                                  const AttributeValue& value) {
    AttributeValue clean = value;
    if (auto* one = std::get_if<std::string>(&clean)) *one = clean_utf8(*one);
    if (auto* many = std::get_if<std::vector<std::string>>(&clean))
        for (std::string& item : *many) item = clean_utf8(item);
    const std::string doing = "write attribute " + name + " of /" + path;
    const auto* list = std::get_if<std::vector<std::string>>(&clean);
    const hsize_t count = list ? list->size() : 1;
    const Handle space =
        place.own(list ? H5Screate_simple(1, &count, nullptr) : H5Screate(H5S_SCALAR), H5Sclose, doing);
    hid_t type = text;
    if (std::holds_alternative<double>(clean)) type = H5T_IEEE_F64LE;
    if (std::holds_alternative<std::int64_t>(clean)) type = H5T_STD_I64LE;
    Handle made = place.own(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, doing);
    std::vector<const char*> pointers;
    const void* data = nullptr;
    if (const auto* number = std::get_if<double>(&clean)) data = number;
    if (const auto* number = std::get_if<std::int64_t>(&clean)) data = number;
    if (const auto* one = std::get_if<std::string>(&clean)) pointers.push_back(one->c_str());
    if (list)
        for (const std::string& item : *list) pointers.push_back(item.c_str());
    if (!data) data = pointers.data();
    if (count > 0) {
        const hid_t memory = type == H5T_IEEE_F64LE  ? H5T_NATIVE_DOUBLE
                             : type == H5T_STD_I64LE ? H5T_NATIVE_INT64
                                                     : type;
        place.check(H5Awrite(made, memory, data), doing);
    }
    if (!made.close()) place.fail(doing);
    entries[path].attributes[name] = std::move(clean);
}

void Hdf5Writer::State::ensure_group(const std::string& path) {
    if (path.empty()) return;
    if (const auto found = entries.find(path); found != entries.end()) {
        WB_EXPECT(found->second.type == 'g');
        return;
    }
    const std::string parent = parent_of(path);
    ensure_group(parent);
    WB_EXPECT(plain_name(std::string_view(path).substr(parent.empty() ? 0 : parent.size() + 1)));
    Handle group = place.own(H5Gcreate2(file, path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose,
                             "create group /" + path);
    entries[path];
}

Handle Hdf5Writer::State::dataset(const std::string& path, const std::vector<hsize_t>& shape,
                                  const Column::Data& data) {
    const std::string parent = parent_of(path);
    ensure_group(parent);
    WB_EXPECT(plain_name(std::string_view(path).substr(parent.empty() ? 0 : parent.size() + 1)));
    WB_EXPECT(!entries.contains(path));
    const std::string doing = "write /" + path;
    const Handle space =
        place.own(shape.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(int(shape.size()), shape.data(), nullptr),
                  H5Sclose, doing);
    const Handle create = place.own(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, doing);
    place.check(H5Pset_obj_track_times(create, false), doing);  // equal results make equal bytes
    const bool empty = std::find(shape.begin(), shape.end(), 0u) != shape.end();
    const std::size_t width = fixed_width(data);
    const Handle fixed = width > 0 ? text_type(place, width) : Handle();
    const hid_t type = width > 0 ? hid_t(fixed) : type_of(data);
    const bool variable = width == 0 && std::holds_alternative<std::vector<std::string>>(data);  // cannot be filtered
    if (!shape.empty() && !empty && !variable) {
        const auto chunk = chunk_of(shape, H5Tget_size(type));
        place.check(H5Pset_chunk(create, int(chunk.size()), chunk.data()), doing);
        place.check(H5Pset_shuffle(create), doing);
        place.check(H5Pset_deflate(create, 4), doing);
        place.check(H5Pset_fletcher32(create), doing);
    }
    Handle made =
        place.own(H5Dcreate2(file, path.c_str(), type, space, H5P_DEFAULT, create, H5P_DEFAULT), H5Dclose, doing);
    if (!empty) {
        const hid_t native[] = {H5T_NATIVE_DOUBLE, H5T_NATIVE_INT64, H5T_NATIVE_UINT8, type};
        std::vector<const char*> pointers;
        const std::string packed = width > 0 ? side_by_side(std::get<std::vector<std::string>>(data), width) : "";
        place.check(H5Dwrite(made, native[data.index()], H5S_ALL, H5S_ALL, H5P_DEFAULT,
                             width > 0 ? packed.data() : bytes_of(data, pointers)),
                    doing);
    }
    Entry& entry = entries[path];
    entry.type = "dibs"[data.index()];
    entry.shape.assign(shape.begin(), shape.end());
    entry.values_crc = values_digest(data);
    return made;
}

void Hdf5Writer::State::scale(const std::string& path, std::size_t length, const std::string& description) {
    std::vector<std::int64_t> index(length);
    std::iota(index.begin(), index.end(), 0);
    Handle made = dataset(path, {length}, index);
    const std::string name = path.substr(path.rfind('/') + 1);
    place.check(H5DSset_scale(made, name.c_str()), "make a dimension scale of /" + path);
    describe(made, path, "1", description, "derived", "", {});
    if (!made.close()) place.fail("close /" + path);
}

void Hdf5Writer::State::attach(hid_t made, const std::string& scale_path, unsigned axis) {
    const std::string doing = "attach scale /" + scale_path;
    const Handle found = place.own(H5Dopen2(file, scale_path.c_str(), H5P_DEFAULT), H5Dclose, doing);
    place.check(H5DSattach_scale(made, found, axis), doing);
}

void Hdf5Writer::State::describe(hid_t made, const std::string& path, const std::string& units,
                                 const std::string& description, const std::string& kind, const std::string& better,
                                 std::optional<double> unit_si) {
    attribute(made, path, "units", units);
    if (unit_si) attribute(made, path, "unitSI", *unit_si);
    if (!description.empty()) attribute(made, path, "description", description);
    attribute(made, path, "kind", kind);
    if (!better.empty()) attribute(made, path, "better", better);
}

void Hdf5Writer::State::integrity() {
    Table table{"integrity", "CRC-32C of every object: attributes, type, shape and values", {}};
    std::vector<std::string> paths;
    std::vector<std::string> checksums;
    std::vector<std::int64_t> rows;
    for (const auto& [path, entry] : entries) {
        paths.push_back("/" + path);
        checksums.push_back(
            fmt::format("{:08x}", digest_of(entry.attributes, entry.type, entry.shape, entry.values_crc)));
        rows.push_back(entry.shape.empty() ? 0 : std::int64_t(entry.shape[0]));
    }
    const std::int64_t records_before = std::int64_t(records);
    const auto write_column = [&](const char* name, const char* description, const Column::Data& data) {
        const std::string path = std::string("integrity/") + name;
        Handle made = dataset(path, {paths.size()}, data);
        describe(made, path, data.index() == 3 ? "" : "1", description, "derived", "none", {});
        attach(made, "integrity/row_id", 0);
        if (!made.close()) place.fail("close /" + path);
    };
    scale("integrity/row_id", paths.size(), "row number");
    write_column("path", "object", paths);
    write_column("crc32c", "CRC-32C, hexadecimal", checksums);
    write_column("rows", "length of the first axis", rows);
    place.check(H5Fflush(file, H5F_SCOPE_GLOBAL), "flush the file");
    const Handle group = place.own(H5Gopen2(file, "integrity", H5P_DEFAULT), H5Gclose, "open /integrity");
    attribute(group, "integrity", "waferbench_columns", std::vector<std::string>{"path", "crc32c", "rows"});
    attribute(group, "integrity", "description", table.description);
    attribute(group, "integrity", "record_count", records_before);
    attribute(group, "integrity", "closed", std::int64_t{1});  // the last thing written
}

Hdf5Writer::Hdf5Writer(std::string place) : state_(std::make_unique<State>()) {
    const QuietHdf5 quiet;
    state_->place = {std::move(place), Exit::io};
    state_->open();
    attribute("Conventions", "waferbench-1.0");
    attribute("waferbench_schema_version", std::string(schema_version));
}

Hdf5Writer::Hdf5Writer(Hdf5Writer&&) noexcept = default;
Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::attribute(const std::string& name, const AttributeValue& value) {
    WB_EXPECT(state_);
    const QuietHdf5 quiet;
    WB_EXPECT(!state_->entries[""].attributes.contains(name));
    state_->attribute(state_->file, "", name, value);
}

void Hdf5Writer::write(const Table& table) {
    WB_EXPECT(state_ && !table.name.empty());
    const QuietHdf5 quiet;
    State& s = *state_;
    const std::size_t rows = table.rows();
    WB_EXPECT(!s.entries.contains(table.name) && table.name != "integrity");
    s.ensure_group(table.name);
    s.scale(table.name + "/row_id", rows, "row number");
    std::vector<std::string> order;
    for (const Column& column : table.columns) {
        const std::string path = table.name + "/" + column.name;
        const auto* texts = std::get_if<std::vector<std::string>>(&column.data);
        WB_EXPECT(plain_name(column.name) && !column.kind.empty() && (texts || !column.units.empty()));
        Handle made = s.dataset(path, {rows}, texts ? cleaned(*texts) : column.data);
        s.describe(made, path, column.units, column.description, column.kind, column.better, column.unit_si);
        s.attach(made, table.name + "/row_id", 0);
        if (!made.close()) s.place.fail("close /" + path);
        order.push_back(column.name);
    }
    const Handle group =
        s.place.own(H5Gopen2(s.file, table.name.c_str(), H5P_DEFAULT), H5Gclose, "open /" + table.name);
    s.attribute(group, table.name, "waferbench_columns", order);
    if (!table.description.empty()) s.attribute(group, table.name, "description", table.description);
    s.records += rows;
}

void Hdf5Writer::write(const Array& array) {
    WB_EXPECT(state_ && !array.units.empty() && !array.kind.empty());
    const QuietHdf5 quiet;
    State& s = *state_;
    const std::string parent = parent_of(array.path);
    WB_EXPECT(!parent.empty() && array.shape.size() == array.axes.size());
    WB_EXPECT(array.shape.size() == 1 || array.shape.size() == 2);
    WB_EXPECT(array.data.size() ==
              std::accumulate(array.shape.begin(), array.shape.end(), std::size_t{1}, std::multiplies<>()));
    Handle made = s.dataset(array.path, {array.shape.begin(), array.shape.end()}, array.data);
    s.describe(made, array.path, array.units, array.description, array.kind, array.better, array.unit_si);
    for (std::size_t axis = 0; axis < array.axes.size(); ++axis) {
        WB_EXPECT(plain_name(array.axes[axis]));
        const std::string scale = parent + "/" + array.axes[axis];
        if (!s.entries.contains(scale)) s.scale(scale, array.shape[axis], "index along " + array.axes[axis]);
        WB_EXPECT(s.entries[scale].shape == std::vector<std::uint64_t>{array.shape[axis]});
        s.attach(made, scale, unsigned(axis));
    }
    if (!made.close()) s.place.fail("close /" + array.path);
}

void Hdf5Writer::text(const std::string& path, std::string_view text, const std::string& description) {
    WB_EXPECT(state_);
    const QuietHdf5 quiet;
    Handle made = state_->dataset(path, {}, std::vector<std::string>{clean_utf8(text)});
    if (!description.empty()) state_->attribute(made, path, "description", description);
    if (!made.close()) state_->place.fail("close /" + path);
}

std::vector<std::byte> Hdf5Writer::finish() {
    WB_EXPECT(state_);
    const QuietHdf5 quiet;
    State& s = *state_;
    s.integrity();
    s.place.check(H5Fflush(s.file, H5F_SCOPE_GLOBAL), "flush the file");
    const ssize_t size = H5Fget_file_image(s.file, nullptr, 0);
    if (size <= 0) s.place.fail("measure the file");
    std::vector<std::byte> image;
    image.reserve(static_cast<std::size_t>(size) + 64);  // the seal fits without another copy
    image.resize(static_cast<std::size_t>(size));
    if (H5Fget_file_image(s.file, image.data(), image.size()) != size) s.place.fail("copy the file");
    if (!s.file.close()) s.place.fail("close the file");
    state_.reset();
    add_seal(image);
    return image;
}

}  // namespace wb
