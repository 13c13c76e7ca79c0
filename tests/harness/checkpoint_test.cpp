#include "harness/checkpoint.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "core/error.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

namespace fs = std::filesystem;

struct Weights {
    std::vector<float> values = std::vector<float>(2 * 16);
    std::vector<StoredPiece> pieces() {
        StoredPiece p;
        p.name = "layer.weight";
        p.instances = 2;
        p.whole = p.local = {3, 4};
        p.data = reinterpret_cast<std::byte*>(values.data());
        p.stride = 64;
        return {p};
    }
    explicit Weights(float first = 0) {
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 16 < 12 ? first + static_cast<float>(i) : 0;
    }
};

void flip_a_byte(const fs::path& path) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(1500);
    const auto byte = static_cast<char>(file.get() ^ 4);
    file.seekp(1500);
    file.put(byte);
}

}  // namespace

TEST_CASE("a checkpoint gives back its bits and notes, and the newest two are kept") {
    const Folder folder;
    const fs::path& box = folder.path;
    const auto comm = single_process();
    const auto storage = file_storage(nullptr, box / "c", false, *comm);
    CHECK(!storage->newest());
    for (std::int64_t step : {10, 20, 30}) {
        Weights w(static_cast<float>(step));
        storage->save(
            {step,
             {{"loss", {1.5, 0.1 * static_cast<double>(step)}}, {"gemm choices of rank 1", {3, 0, 7}}, {"joules", {}}},
             ""},
            w.pieces());
    }
    const auto again = file_storage(nullptr, box / "c", true, *comm);
    const auto found = again->newest();
    REQUIRE(found);
    CHECK(found->step == 30);
    CHECK(found->notes.at("loss") == std::vector<double>{1.5, 3.0});
    CHECK(found->notes.at("gemm choices of rank 1") == std::vector<double>{3, 0, 7});  // else other bits would follow
    CHECK(found->notes.at("joules").empty());
    Weights got;
    const Weights wanted(30);
    again->restore(30, got.pieces());
    CHECK(got.values == wanted.values);
    CHECK(!fs::exists(box / "c" / "step-000000010.h5"));
    CHECK(fs::exists(box / "c" / "step-000000020.h5"));
}

TEST_CASE("a damaged checkpoint is named and the one before is used; without one the run stops") {
    const Folder folder;
    const fs::path& box = folder.path;
    const auto comm = single_process();
    const auto storage = file_storage(nullptr, box / "c", true, *comm);
    for (std::int64_t step : {10, 20}) {
        Weights w(static_cast<float>(step));
        storage->save({step, {}, ""}, w.pieces());
    }
    flip_a_byte(box / "c" / "step-000000020.h5");
    const auto found = storage->newest();
    REQUIRE(found);
    CHECK(found->step == 10);
    CHECK(
        found->remark.ends_with("step-000000020.h5: is damaged: its checksum does not match (weights would be "
                                "wrong). Going on from step-000000010.h5."));
    flip_a_byte(box / "c" / "step-000000010.h5");
    CHECK_THROWS_WITH(storage->newest(), doctest::Contains("every checkpoint is damaged (there is no state to go on "
                                                           "from). Run again without --resume."));
}

TEST_CASE("a run that begins anew does not take what an earlier one left, and removes it") {
    const Folder folder;
    const fs::path& box = folder.path;
    const auto comm = single_process();
    Weights w;
    file_storage(nullptr, box / "c", false, *comm)->save({50, {}, ""}, w.pieces());
    const auto anew = file_storage(nullptr, box / "c", false, *comm);
    CHECK(!anew->newest());
    anew->save({10, {}, ""}, w.pieces());
    CHECK(file_storage(nullptr, box / "c", true, *comm)->newest()->step == 10);
}

TEST_CASE("the checkpoint of another model is refused") {
    const Folder folder;
    const fs::path& box = folder.path;
    const auto comm = single_process();
    const auto storage = file_storage(nullptr, box / "c", true, *comm);
    Weights w;
    storage->save({1, {}, ""}, w.pieces());
    auto pieces = w.pieces();
    pieces[0].whole = pieces[0].local = {4, 3};
    CHECK_THROWS_WITH(storage->restore(1, pieces),
                      doctest::Contains("\"layer.weight\" has another shape (it is the checkpoint of another model)."));
}
