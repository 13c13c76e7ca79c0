#include "core/grid.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "core/error.hpp"
#include "harness/hdf5_file.hpp"
#include "harness/heat_map.hpp"
#include "harness/publish.hpp"
#include "harness/result_file.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

/// PE (r, c) of a mesh holds r + c / 1000.
Grid ramp(int rows, int columns) {
    std::vector<double> values;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) values.push_back(r + c / 1000.0);
    return make_grid("link_east", "1", "wavelets a cycle", rows, columns, values);
}

Result simulated(const std::string& key, std::vector<Grid> grids) {
    Result r;
    r.key = r.m.key = key;
    r.label = "gemm";
    r.system = "wse2";
    r.backend = "fabric";
    r.mesh = "4x6 summa";
    r.m.kind = Kind::simulated;
    r.m.samples_s = {1e-6};
    r.m.mapping = "4x6 summa";
    r.m.grids = std::move(grids);
    return r;
}

ResultSet two_cases() {
    ResultSet set;
    set.runs.emplace_back();
    Grid sram = ramp(3, 2);
    sram.name = "sram";
    sram.unit = "B";
    set.results = {simulated("a", {ramp(4, 6), sram}), simulated("b", {})};
    return set;
}

}  // namespace

TEST_CASE("a grid of at most 128 x 128 PEs is kept PE by PE, a larger one by means of equal cells") {
    const Grid small = thinned(ramp(128, 128));
    CHECK(small.rows == 128);
    CHECK(small.rows_per_cell == 1);
    CHECK(small.at(127, 5) == doctest::Approx(127.005));
    const Grid large = thinned(ramp(129, 300));
    CHECK(large.rows == 65);
    CHECK(large.rows_per_cell == 2);
    CHECK(large.columns == 100);
    CHECK(large.columns_per_cell == 3);
    CHECK(large.at(0, 0) == doctest::Approx(0.501));
    CHECK(large.at(64, 99) == doctest::Approx(128.298).epsilon(1e-4).scale(0));  // the last cell covers one row only
    CHECK(large.largest == 128.299);
    CHECK(large.mean == doctest::Approx(64.1495));
}

TEST_CASE("a grid must have a value for each PE") {
    CHECK_THROWS_AS(make_grid("x", "1", "", 2, 2, {1, 2, 3}), ContractError);
    CHECK_THROWS_AS(make_grid("x", "1", "", 0, 2, {}), ContractError);
}

TEST_CASE("grids come back from the journal's records and from the published file, which is valid") {
    const Folder folder;
    const auto path = folder.path / "r.h5";
    const ResultSet set = two_cases();
    write_results(path, set);
    CHECK(verify(path).empty());
    const ResultSet back = read_results(path);
    REQUIRE(back.results.size() == 2);
    CHECK(to_record(back.results[0]) == to_record(set.results[0]));
    CHECK(back.results[0].mesh == "4x6 summa");
    REQUIRE(back.results[0].m.grids.size() == 2);
    CHECK(back.results[0].m.grids[0].values == set.results[0].m.grids[0].values);
    CHECK(back.results[1].m.grids.empty());

    const Hdf5Reader file(path);
    const Table grids = file.table("grids");
    CHECK(values<std::string>(grids, "dataset") ==
          std::vector<std::string>{"/heat_maps/case_0/link_east", "/heat_maps/case_0/sram"});
    const Array east = file.array("heat_maps/case_0/link_east"), sram = file.array("heat_maps/case_0/sram");
    CHECK(east.shape == std::vector<std::size_t>{4, 6});
    CHECK(east.axes == std::vector<std::string>{"row", "column"});
    CHECK(east.data == ramp(4, 6).values);
    CHECK(sram.axes == std::vector<std::string>{"row_of_sram", "column_of_sram"});
    CHECK(sram.units == "B");
}

TEST_CASE("timelines and series come back from their tables, long columns of short texts compressed") {
    const Folder folder;
    const auto path = folder.path / "r.h5";
    ResultSet set = two_cases();
    for (int i = 0; i < 5000; ++i)
        set.results[1].m.spans.push_back({i % 3 - 1, "stage " + std::to_string(i % 7) + " compute",
                                          i % 2 ? "forward" : "", Seconds(0.1 * i), Seconds(1e-3 / (i + 1)), Bytes(i),
                                          Flops(2.0 * i)});
    set.results[0].m.series = {{"loss", "1", "of a step", "step", {1, 2, 3}, {0.5, 0.25, 1.0 / 3}},
                               {"empty", "1", "nothing", "s", {}, {}},
                               {"loss", "1", "again", "step", {1}, {9}}};
    write_results(path, set);
    CHECK(verify(path).empty());
    const ResultSet back = read_results(path);
    for (std::size_t i = 0; i < 2; ++i) CHECK(to_record(back.results.at(i)) == to_record(set.results[i]));
    CHECK(std::filesystem::file_size(path) < 300e3);  // 5000 boxes of some 80 bytes, twice, were 1.2 MB
}

TEST_CASE("a file of schema 1.0, which knows no grids, is read") {
    const ResultSet old = read_results(std::string(WB_SOURCE_DIR) + "/results/baseline/bounds.h5");
    CHECK(!old.results.empty());
    CHECK(old.results.front().m.grids.empty());
}

TEST_CASE("a heat map is drawn north on top, with a character for each cell or for several") {
    const Grid g = make_grid("x", "1", "", 2, 3, {0, 0.5, 1, 0.001, 0, 0});
    CHECK(draw(g, false) == "| +@|\n|.  |\n");
    CHECK(draw(g, false, 64, 1) == "|.:+|\n");
    CHECK(draw(g, true).find("\x1b[48;5;226m") != std::string::npos);
    CHECK(draw(make_grid("x", "1", "", 1, 2, {0, 0}), false) == "|  |\n");
}

TEST_CASE("show --heat tells mean and largest in every format, and says where there is nothing") {
    const ResultSet set = two_cases();
    const std::string text = show_heat_maps(set, Format::terminal, false);
    CHECK(text.find("gemm | wse2 fabric 4x6 summa\n") == 0);
    CHECK(text.find("link_east: wavelets a cycle (mean 150 %, largest 300 %; 4x6 PEs)") != std::string::npos);
    CHECK(text.find("sram: wavelets a cycle (mean 1 B, largest 2.001 B; 3x2 PEs)") != std::string::npos);
    CHECK(show_heat_maps(set, Format::csv, false).find("link_east,wavelets a cycle,1.502") != std::string::npos);
    CHECK(show_heat_maps(set, Format::terminal, false, "b") == "no heat maps: only simulated cases have them\n");
}
