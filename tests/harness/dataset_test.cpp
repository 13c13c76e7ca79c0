#include "harness/dataset.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "core/error.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;

namespace {

namespace fs = std::filesystem;

std::shared_ptr<TokenSource> opened(const std::string& data) {
    const auto comm = single_process();
    return open_tokens(data, Files({std::string(WB_SOURCE_DIR) + "/configs"}), *comm);
}

}  // namespace

TEST_CASE("a dataset gives back its tokens, and says where they are from") {
    const Folder folder;
    const fs::path& box = folder.path;
    const std::string path = (box / "d.h5").string();
    Tokens t = tokenised("verse", "In the beginning", *byte_tokenizer(), 0.25);
    write_dataset(path, t);
    const auto source = opened(path);
    CHECK(source->dataset().name == "verse");
    CHECK(source->dataset().vocabulary == 256);
    CHECK(source->dataset().training == 12);
    CHECK(source->dataset().held_out == 4);
    std::vector<std::int32_t> ids(5);
    source->read(3, ids);
    CHECK(ids == std::vector<std::int32_t>{'t', 'h', 'e', ' ', 'b'});
    t.held_out = 5;
    write_dataset(path + "2", t);
    CHECK(opened(path + "2")->dataset().hash != source->dataset().hash);
}

TEST_CASE("ids beyond 16 bits are kept") {
    const Folder folder;
    const fs::path& box = folder.path;
    const std::string path = (box / "d.h5").string();
    write_dataset(path, {"big", "0", "x", 128256, {1, 128255, 70000}, 1});
    std::vector<std::int32_t> ids(3);
    opened(path)->read(0, ids);
    CHECK(ids == std::vector<std::int32_t>{1, 128255, 70000});
}

TEST_CASE("the shipped text is there, and any other text may be named") {
    const Dataset d = opened("builtin")->dataset();
    CHECK(d.name == "genesis");
    CHECK(d.training + d.held_out == 197458);
    const Folder folder;
    const fs::path& box = folder.path;
    std::ofstream(box / "mine.txt") << "some words";
    CHECK(opened((box / "mine.txt").string())->dataset().training == 9);
}

TEST_CASE("data that is not there, empty, cut short or damaged is refused") {
    const Folder folder;
    const fs::path& box = folder.path;
    const std::string path = (box / "d.h5").string();
    CHECK_THROWS_WITH(opened("/nowhere.txt"),
                      doctest::Contains("there is no such file (it holds the text to train on)."));
    std::ofstream(box / "empty.txt").close();
    CHECK_THROWS_WITH(opened((box / "empty.txt").string()),
                      doctest::Contains("is empty (there is nothing in it to use)."));
    write_dataset(path, tokenised("verse", std::string(5000, 'a'), *byte_tokenizer(), 0));
    const auto size = fs::file_size(path);
    fs::resize_file(path, size - 100);
    CHECK_THROWS_AS(opened(path), Error);
    fs::resize_file(path, 4);
    CHECK_THROWS_WITH(opened(path), doctest::Contains("is no HDF5 file (it was cut short, or is something else)."));
    write_dataset(path, tokenised("verse", std::string(5000, 'a'), *byte_tokenizer(), 0));
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(3000);
    file.put('b');
    file.close();
    CHECK_THROWS_WITH(opened(path),
                      doctest::Contains("is damaged: its checksum does not match (token ids would be wrong)."));
}
