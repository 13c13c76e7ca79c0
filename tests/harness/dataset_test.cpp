#include "harness/dataset.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "core/error.hpp"
#include "core/tables.hpp"
#include "harness/prompt.hpp"
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
    CHECK_THROWS_WITH(opened(path), doctest::Contains(": cannot open it: unable to open file: truncated file"));
    CHECK_THROWS_WITH(opened(path), doctest::Contains("cut short or of another schema). Make it again with waferbench "
                                                      "tokenize."));
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

namespace {

Params asked(const std::string& prompt, std::int64_t seq = 0, std::int64_t batch = 1,
             const std::string& model = "tiny-gpt2") {
    return complete(
        workload_named("generate").params,
        {{"model", model}, {"batch", batch}, {"seq", seq}, {"tokens", std::int64_t{4}}, {"prompt", prompt}});
}

Files beside(const fs::path& folder) {
    return Files({std::string(WB_SOURCE_DIR) + "/configs"}).beside(folder.string());
}

std::string refused(const Params& p, const fs::path& folder) {
    try {
        const Files files = beside(folder);
        const auto prompt = read_prompt(p, files);
        const Params whole = with_prompt(p, *prompt);
        suit_prompt(*prompt, whole, workload_named("generate").build(whole, files));
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("a prompt is a text, ids, a file or a dataset; it gives the length and a name that fits into a key") {
    const Folder folder;
    const Files files = beside(folder.path);
    std::ofstream(folder.path / "q.txt") << "In the\n";
    write_dataset((folder.path / "d.h5").string(), tokenised("verse", "In the beginning", *byte_tokenizer(), 0.25));
    const auto ids = [&](const Params& p) { return read_prompt(p, files)->ids; };
    using Ids = std::vector<std::int32_t>;
    CHECK(!read_prompt(asked(""), files));
    CHECK(ids(asked("In")) == Ids{'I', 'n'});
    CHECK(ids(asked("In", 2, 2)) == Ids{'I', 'n', 'I', 'n'});
    CHECK(ids(asked("ids:3, 255,0")) == Ids{3, 255, 0});
    CHECK(ids(asked("file:q.txt")) == Ids{'I', 'n', ' ', 't', 'h', 'e', '\n'});
    CHECK(ids(asked("file:d.h5", 3, 2)) == Ids{'I', 'n', ' ', 't', 'h', 'e'});
    const auto prompt = read_prompt(asked("In the | beginning = \xC3\xA9\xC3\xA9\xC3\xA9", 0, 2), files);
    const Params whole = with_prompt(asked("x"), *prompt);
    CHECK(whole.integer("seq") == 27);
    CHECK(whole.word("prompt").starts_with("In_the___beginning___\xC3\xA9#"));  // no half of a character
    CHECK(read_prompt(asked("In"), files)->name != read_prompt(asked("IN"), files)->name);
    const auto source = tokens_of(*prompt);
    CHECK(source->dataset().training == 54);
    Ids read(2);
    source->read(27, read);
    CHECK(read == Ids{'I', 'n'});
}

TEST_CASE("a prompt that the model cannot read is refused with its place") {
    const Folder folder;
    const auto said = [&](const Params& p) { return refused(p, folder.path); };
    write_dataset((folder.path / "d.h5").string(), tokenised("verse", "In the beginning", *byte_tokenizer(), 0));
    std::ofstream(folder.path / "empty.txt").close();
    CHECK(said(asked("In the")).empty());
    CHECK(said(asked("ids:1,256")) ==
          "prompt: token 2 of it is 256, the vocabulary of the model ends at 255 (the model has no embedding for it). "
          "Use the tokeniser of the model.");
    CHECK(said(asked("ids:1,x")).starts_with("prompt = ids:1,x: token 2 is no token id"));
    CHECK(said(asked("ids:-1")).starts_with("prompt = ids:-1: token 1 is no token id"));
    CHECK(said(asked("ids:")) == "prompt: has no token (there is nothing to go on from).");
    CHECK(said(asked("In the", 5)) ==
          "seq: is 5, the prompt has 6 tokens (the one follows from the other). Leave seq out.");
    CHECK(said(asked("file:none.txt")).starts_with("prompt = file:none.txt: there is no such file"));
    CHECK(said(asked("file:empty.txt")).find("is empty") != std::string::npos);
    CHECK(said(asked("file:d.h5")).find("is a dataset, and seq is missing") != std::string::npos);
    CHECK(said(asked("file:d.h5", 9, 2)).find("holds 16 tokens, 2 sequences of 9 are 18") != std::string::npos);
    CHECK(said(asked("In the", 0, 1, "gpt2")) ==
          "prompt: \"gpt2\" has no tokenizer.json beside its config.json (a text cannot be turned into tokens of its "
          "vocabulary of 50257). Put the model's own there, or give the tokens: prompt = \"ids:464,3290\".");
    CHECK(said(asked("ids:464,3290", 0, 1, "gpt2")).empty());
    CHECK_THROWS_WITH(build_workload("generate", {{"model", std::string("tiny-gpt2")}, {"tokens", std::int64_t{4}}},
                                     beside(folder.path)),
                      doctest::Contains("seq: is missing, and so is a prompt"));
}
