#include "harness/hdf5_file.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "core/error.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;
namespace fs = std::filesystem;

namespace {

void save(const fs::path& path, const std::vector<std::byte>& image) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(image.data()), std::streamsize(image.size()));
}

std::string failure(const fs::path& path) {
    try {
        Hdf5Reader reader(path);
    } catch (const Error& error) {
        CHECK(error.code() == Exit::baseline);
        return error.what();
    }
    return "";
}

Table every_type(std::size_t rows) {
    const double inf = std::numeric_limits<double>::infinity();
    const double values[] = {0.1, std::nan("7"), -inf, 5e-324, -0.0};
    const std::string texts[] = {"plain", "größe €", "", "two\nlines", std::string(5000, 'x')};
    std::vector<double> d;
    std::vector<std::int64_t> i;
    std::vector<std::uint8_t> b;
    std::vector<std::string> s;
    for (std::size_t row = 0; row < rows; ++row) {
        d.push_back(values[row % 5]);
        i.push_back(row % 2 ? std::numeric_limits<std::int64_t>::min() + std::int64_t(row)
                            : INT64_MAX - std::int64_t(row));
        b.push_back(std::uint8_t(row));
        s.push_back(texts[row % 5]);
    }
    return {"systems/host",
            "Größe of everything",
            {{"elapsed_s", "s", "time", "measured", "lower", d, 1.0},
             {"count", "1", "", "input", "none", i},
             {"status", "1", "0 is ok", "derived", "exact", b},
             {"name", "", "what", "input", "none", s}}};
}

bool same_bits(const Column::Data& a, const Column::Data& b) {
    if (a.index() != b.index()) return false;
    const auto* x = std::get_if<std::vector<double>>(&a);
    if (!x) return a == b;
    const auto& y = std::get<std::vector<double>>(b);
    if (x->size() != y.size()) return false;
    for (std::size_t i = 0; i < y.size(); ++i)
        if (std::bit_cast<std::uint64_t>((*x)[i]) != std::bit_cast<std::uint64_t>(y[i])) return false;
    return true;
}

}  // namespace

TEST_CASE("hdf5: every type of column comes back bit for bit, with all that is known of it") {
    const Folder folder;
    for (const std::size_t rows : {0u, 1u, 5u, 70000u}) {
        CAPTURE(rows);
        const Table table = every_type(rows);
        Hdf5Writer writer("x.h5");
        writer.write(table);
        save(folder.path / "x.h5", writer.finish());
        const Table read = Hdf5Reader(folder.path / "x.h5").table("systems/host");
        CHECK(read.description == table.description);
        REQUIRE(read.columns.size() == table.columns.size());
        CHECK(read.rows() == rows);
        for (std::size_t i = 0; i < read.columns.size(); ++i) {
            const Column& a = table.columns[i];
            const Column& b = read.columns[i];
            CAPTURE(a.name);
            CHECK(a.name == b.name);
            CHECK(a.units == b.units);
            CHECK(a.description == b.description);
            CHECK(a.kind == b.kind);
            CHECK(a.better == b.better);
            CHECK(a.unit_si == b.unit_si);
            CHECK(same_bits(a.data, b.data));
        }
    }
}

TEST_CASE("hdf5: attributes, texts, arrays and names come back") {
    const Folder folder;
    const auto path = folder.path / "größe.h5";
    Hdf5Writer writer(path.string());
    writer.attribute("run_uuid", std::string("1234-äöü"));
    writer.attribute("launches", std::int64_t{7});
    writer.attribute("noise", 0.25);
    writer.attribute("cpus", std::vector<std::string>{"a", "", "c"});
    writer.attribute("none", std::vector<std::string>{});
    writer.text("provenance/config_toml", "a = 1\n\xF6", "the configuration, verbatim");
    writer.text("provenance/empty", "");
    writer.write(Table{"phases", "", {{"name", "", "", "input", "none", std::vector<std::string>{"compute", "comm"}}}});
    writer.write(Array{"phases/time_s",
                       "s",
                       "per phase and case",
                       "modelled",
                       "lower",
                       {"row_id", "case"},
                       {2, 3},
                       {1, 2, 3, 4, 5, 6},
                       1.0});
    writer.write(Array{"phases/total_s", "s", "", "derived", "lower", {"row_id"}, {2}, {6, 15}});
    save(path, writer.finish());

    const Hdf5Reader reader(path);
    CHECK(std::get<std::string>(*reader.attribute("", "run_uuid")) == "1234-äöü");
    CHECK(std::get<std::int64_t>(*reader.attribute("", "launches")) == 7);
    CHECK(std::get<double>(*reader.attribute("", "noise")) == 0.25);
    CHECK(std::get<std::vector<std::string>>(*reader.attribute("", "cpus")) == std::vector<std::string>{"a", "", "c"});
    CHECK(std::get<std::vector<std::string>>(*reader.attribute("", "none")).empty());
    CHECK(std::get<std::string>(*reader.attribute("", "waferbench_schema_version")) == schema_version);
    CHECK(!reader.attribute("", "absent"));
    CHECK(reader.text("provenance/config_toml") == "a = 1\n\xEF\xBF\xBD");
    CHECK(reader.text("provenance/empty").empty());
    CHECK(reader.groups() == std::vector<std::string>{"integrity", "phases", "provenance"});
    CHECK(reader.datasets("phases") == std::vector<std::string>{"case", "name", "row_id", "time_s", "total_s"});
    CHECK(reader.has("phases/name"));
    CHECK(!reader.has("phases/absent"));
    CHECK(!reader.has("absent/name"));
    const Array array = reader.array("phases/time_s");
    CHECK(array.shape == std::vector<std::size_t>{2, 3});
    CHECK(array.axes == std::vector<std::string>{"row_id", "case"});
    CHECK(array.data == std::vector<double>{1, 2, 3, 4, 5, 6});
    CHECK(array.units == "s");
    CHECK(array.kind == "modelled");
    CHECK_THROWS_AS(reader.table("provenance"), Error);
    CHECK_THROWS_AS(reader.table("absent"), Error);
    CHECK_THROWS_AS(reader.text("phases/name"), Error);
    CHECK_THROWS_AS(reader.array("phases/name"), Error);
}

TEST_CASE("hdf5: equal results make equal bytes") {
    const auto image = [] {
        Hdf5Writer writer("x.h5");
        writer.write(every_type(300));
        writer.text("provenance/a", "b");
        return writer.finish();
    };
    CHECK(image() == image());
}

TEST_CASE("hdf5: two writers of one path do not meet") {
    Hdf5Writer first("x.h5");
    Hdf5Writer second("x.h5");
    first.text("a", "1");
    second.text("a", "2");
    CHECK(first.finish() != second.finish());
}

TEST_CASE("hdf5: a table that would mislead is a contract failure") {
    Hdf5Writer writer("x.h5");
    const auto with = [](Column column) { return Table{"t", "", {std::move(column)}}; };
    CHECK_THROWS_AS(writer.write(with({"a", "", "", "measured", "none", std::vector<double>{1}})), ContractError);
    Hdf5Writer other("x.h5");
    CHECK_THROWS_AS(other.write(with({"a", "s", "", "", "none", std::vector<double>{1}})), ContractError);
    Hdf5Writer third("x.h5");
    CHECK_THROWS_AS(third.write(with({"row_id", "s", "", "input", "none", std::vector<double>{1}})), ContractError);
    Hdf5Writer fourth("x.h5");
    CHECK_THROWS_AS(fourth.write(with({"a/b", "s", "", "input", "none", std::vector<double>{1}})), ContractError);
    fourth.write(Table{"u", "", {}});
    CHECK_THROWS_AS(fourth.write(Table{"u", "", {}}), ContractError);
}

TEST_CASE("hdf5: what is no results file is refused with a reason") {
    const Folder folder;
    CHECK(failure(folder.path / "absent.h5").find("No such file") != std::string::npos);
    CHECK(failure(folder.path).find("not a regular file") != std::string::npos);
    std::ofstream(folder.path / "text.h5") << "hello\n";
    CHECK(failure(folder.path / "text.h5").find("is not an HDF5 file") != std::string::npos);
    std::ofstream(folder.path / "empty.h5");
    CHECK(failure(folder.path / "empty.h5").find("is not an HDF5 file") != std::string::npos);

    Hdf5Writer writer("x.h5");
    writer.write(every_type(50));
    auto image = writer.finish();
    const auto path = folder.path / "x.h5";
    save(path, image);
    CHECK(failure(path).empty());
    for (const std::size_t part : {2u, 3u, 10u}) {
        save(path, {image.begin(), image.begin() + long(image.size() - image.size() / part)});
        CHECK(failure(path).find("truncated") != std::string::npos);
    }
}

TEST_CASE("hdf5: a newer minor version is read, a newer major version refused") {
    const Folder folder;
    const auto path = folder.path / "x.h5";
    Hdf5Writer writer("x.h5");
    writer.write(every_type(3));
    const auto image = writer.finish();
    const std::string bytes(reinterpret_cast<const char*>(image.data()), image.size() - 20);  // without the seal
    const std::size_t at = bytes.find(schema_version);
    REQUIRE(at != bytes.npos);
    const auto stored = [&](const char* version) {
        std::string changed = bytes;
        changed.replace(at, 5, version);
        std::ofstream(path, std::ios::binary) << changed;
        return failure(path);
    };
    CHECK(stored("1.9.3").empty());
    CHECK(stored("2.0.0").find("has schema 2.0.0; this waferbench reads up to 1.x") != std::string::npos);
    CHECK(stored("x.0.0").find("not of the form 1.0.0") != std::string::npos);
}
