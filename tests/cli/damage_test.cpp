#include <doctest/doctest.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "harness/journal.hpp"
#include "harness/result_file.hpp"
#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

constexpr int cases = 12;

std::string twelve_cases() {
    std::string text = cli::small_experiment();
    const std::string axis = "m = [32, 64]";
    return text.replace(text.find(axis), axis.size(), "m = [8, 16, 24, 32, 40, 48]");
}

void file_limit(rlim_t bytes) {
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
}

/// Resumes into r.h5 and checks that all cases are there in the end, those of `kept` untouched.
void check_resumes(const Sandbox& box, const std::map<std::string, std::string>& kept) {
    const Outcome o = box.run({"run", "e.toml", "-o", "r.h5", "--resume"});
    CAPTURE(o.err);
    CHECK(o.code == 0);
    CHECK(o.err.find(fmt::format("Resuming: {} of {} cases are there already.\n", kept.size(), cases)) !=
          std::string::npos);
    const auto after = cli::finished_cases(box / "r.journal");
    CHECK(after.size() == cases);
    for (const auto& [key, record] : kept) CHECK(after.at(key) == record);
    CHECK(box.run({"check", "r.h5"}).code == 0);
    CHECK(wb::read_results(box / "r.h5").results.size() == cases);
}

/// The cases that can still be read from a damaged journal.
std::map<std::string, std::string> readable(const Sandbox& box) { return cli::finished_cases(box / "r.journal"); }

struct NoOne {  // a user without rights: root may write anywhere
    void operator()() const {
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(125);
    }
};

}  // namespace

TEST_CASE("a disk that fills up: exit 7 with the numbers, nothing lost, the old file intact, --resume completes") {
    const Sandbox box;
    box.write("e.toml", twelve_cases());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5", "--filter", "m=8"}).code == 0);
    const std::string old = box.read("r.h5");
    const std::size_t begun = box.read("r.journal").size();
    for (const std::size_t room : {std::size_t{100}, std::size_t{9'000}, std::size_t{14'000}}) {
        CAPTURE(room);
        const auto before = readable(box);
        const Outcome o = box.run({"run", "e.toml", "-o", "r.h5", "--resume"}, [&] { file_limit(begun + room); });
        CAPTURE(o.err);
        CHECK(o.code == 7);
        CHECK(o.err.find("File too large") != std::string::npos);
        CHECK(o.err.find("bytes were needed") != std::string::npos);
        CHECK(box.read("r.h5") == old);
        CHECK(wb::read_journal(box / "r.journal").damage.empty());
        const auto after = readable(box);
        for (const auto& [key, record] : before) CHECK(after.at(key) == record);
        for (const auto& entry : cli::fs::directory_iterator(box.path()))
            CHECK(entry.path().string().find(".tmp.") == std::string::npos);
    }
    check_resumes(box, readable(box));
}

TEST_CASE("the journal fits but the results file does not: exit 7, and rebuild makes it from the journal") {
    const Sandbox box;
    box.write("e.toml", twelve_cases());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5"}).code == 0);
    const std::size_t journal = box.read("r.journal").size(), file = box.read("r.h5").size();
    REQUIRE(journal < file);
    cli::fs::remove(box / "r.journal");
    const std::string old = box.read("r.h5");
    const Outcome o = box.run({"run", "e.toml", "-o", "r.h5"}, [&] { file_limit((journal + file) / 2); });
    CHECK(o.code == 7);
    CHECK(o.err.find("fitted; the old file, if any, is untouched") != std::string::npos);
    CHECK(box.read("r.h5") == old);
    CHECK(readable(box).size() == cases);
    CHECK(box.run({"rebuild", "r.journal"}).code == 0);
    CHECK(box.run({"check", "r.h5"}).code == 0);
}

TEST_CASE("a real small disk: exit 7, then more room, then --resume") {
    const Sandbox box;
    box.write("e.toml", twelve_cases());
    cli::fs::create_directory(box / "disk");
    const std::string disk = (box / "disk").string();
    if (::mount("none", disk.c_str(), "tmpfs", 0, "size=16k") != 0) {
        MESSAGE("needs root and the right to mount: skipped");
        return;
    }
    const Outcome full = box.run({"run", "e.toml", "-o", "disk/r.h5"});
    const bool more = ::mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=8m") == 0;
    const Outcome rest = box.run({"run", "e.toml", "-o", "disk/r.h5", "--resume"});
    const std::size_t all = cli::finished_cases(box / "disk/r.journal").size();
    ::umount(disk.c_str());
    CAPTURE(full.err);
    CHECK(full.code == 7);
    CHECK(full.err.find("No space left on device") != std::string::npos);
    REQUIRE(more);
    CHECK(rest.code == 0);
    CHECK(all == cases);
}

TEST_CASE("folders that cannot be written or read") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    box.write("locked/r.txt", "");
    cli::fs::permissions(box / "locked", cli::fs::perms::owner_read | cli::fs::perms::owner_exec |
                                             cli::fs::perms::others_read | cli::fs::perms::others_exec);
    const Outcome locked = box.run({"run", "e.toml", "-o", "locked/r.h5"}, NoOne{});
    CHECK(locked.code == 7);
    CHECK(locked.err ==
          "waferbench: locked/r.journal: cannot open the journal for writing: Permission denied (the journal is what a "
          "campaign "
          "is resumed from). Check the path, its permissions and the disk.\n");
    const Outcome below = box.run({"run", "e.toml", "-o", "e.toml/r.h5"});
    CHECK(below.code == 7);
    CHECK(below.err.find("Not a directory") != std::string::npos);
    box.write("secret.h5", "x");
    cli::fs::permissions(box / "secret.h5", cli::fs::perms::none);
    const Outcome secret = box.run({"show", "secret.h5"}, NoOne{});
    CAPTURE(secret.err);
    CHECK(secret.code == 5);
    CHECK(secret.err == "waferbench: secret.h5: cannot be read. Check permissions and the disk.\n");
    box.write("notes.journal", "my notes, not a journal\n");
    const Outcome notes = box.run({"run", "e.toml", "-o", "notes.h5"});
    CHECK(notes.code == 5);
    CHECK(notes.err.find("is not a waferbench journal") != std::string::npos);
    CHECK(box.read("notes.journal") == "my notes, not a journal\n");
}

TEST_CASE("a journal torn anywhere resumes with all cases that were whole") {
    const Sandbox box;
    box.write("e.toml", twelve_cases());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5"}).code == 0);
    const std::string whole = box.read("r.journal");
    std::mt19937 random(4);
    for (int i = 0; i < 12; ++i) {
        const std::size_t cut = i < 3 ? whole.size() - 1 - static_cast<std::size_t>(i) * 5 : random() % whole.size();
        CAPTURE(cut);
        box.write("r.journal", whole.substr(0, cut));
        const auto kept = cut == 0 ? std::map<std::string, std::string>{} : readable(box);
        check_resumes(box, kept);
    }
}

TEST_CASE("a journal with flipped bits loses the records they are in, and says so") {
    const Sandbox box;
    box.write("e.toml", twelve_cases());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5"}).code == 0);
    const std::string whole = box.read("r.journal");
    std::mt19937 random(7);
    std::size_t lost = 0;
    for (int i = 0; i < 16; ++i) {
        std::string bytes = whole;
        const std::size_t at = random() % whole.size();
        CAPTURE(at);
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
        box.write("r.journal", bytes);
        const auto kept = readable(box);
        CHECK(kept.size() >= cases - 1);
        lost += cases - kept.size();
        const Outcome show = box.run({"show", "r.journal"});
        CHECK(show.code == 0);
        const Outcome o = box.run({"plan", "e.toml"});
        CHECK(o.code == 0);
        check_resumes(box, kept);
    }
    CHECK(lost > 0);
    std::string bytes = whole;
    bytes[whole.size() / 2] = static_cast<char>(bytes[whole.size() / 2] ^ 1);
    box.write("r.journal", bytes);
    const Outcome o = box.run({"run", "e.toml", "-o", "r.h5", "--resume"});
    CHECK(o.err.find("are damaged (a record whose checksum is wrong); the rest is used.\n") != std::string::npos);
}

TEST_CASE("a results file of a newer schema, cut short, garbage or missing: exit 5") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5"}).code == 0);
    const std::string whole = box.read("r.h5");

    box.write("newer.h5", whole);
    const hid_t file = H5Fopen((box / "newer.h5").c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    REQUIRE(file >= 0);
    REQUIRE(H5Adelete(file, "waferbench_schema_version") >= 0);
    const char* version = "9.0.0";
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const hid_t attribute = H5Acreate2(file, "waferbench_schema_version", type, space, H5P_DEFAULT, H5P_DEFAULT);
    REQUIRE(H5Awrite(attribute, type, &version) >= 0);
    H5Aclose(attribute), H5Sclose(space), H5Tclose(type), H5Fclose(file);

    std::string flipped = whole;
    flipped[whole.size() / 2] = static_cast<char>(flipped[whole.size() / 2] ^ 4);
    box.write("flipped.h5", flipped);
    box.write("cut.h5", whole.substr(0, whole.size() * 2 / 3));
    box.write("empty.h5", "");
    box.write("garbage.h5", std::string(5000, 'x'));
    box.write("head.h5", whole.substr(0, 8) + std::string(5000, '\xff'));
    for (const char* name : {"newer.h5", "cut.h5", "empty.h5", "garbage.h5", "head.h5", "missing.h5"})
        for (const std::vector<std::string>& call : {std::vector<std::string>{"check", name},
                                                     {"show", name},
                                                     {"compare", "r.h5", name},
                                                     {"compare", name, "r.h5"}}) {
            const Outcome o = box.run(call);
            CAPTURE(name);
            CAPTURE(call[0]);
            CAPTURE(o.err);
            CHECK(o.code == 5);
            CHECK(o.says(name));
        }
    CHECK(box.run({"check", "flipped.h5"}).code == 5);
    CHECK(box.run({"show", "newer.h5"}).err.find("has schema 9.0.0; this waferbench reads up to 1.x") !=
          std::string::npos);
    std::mt19937 random(11);
    for (int i = 0; i < 25; ++i) {
        const std::size_t cut = random() % whole.size();
        box.write("cut.h5", whole.substr(0, cut));
        CAPTURE(cut);
        CHECK(box.run({"check", "cut.h5"}).code == 5);
    }
    box.write("old.journal", "waferbench-journal 2 00000000\n");
    CHECK(box.run({"show", "old.journal"}).code == 5);
}

TEST_SUITE_BEGIN("nightly");

TEST_CASE("no single byte of a results file can change unnoticed or crash the reader") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    REQUIRE(box.run({"run", "e.toml", "-q", "-o", "r.h5"}).code == 0);
    const std::string whole = box.read("r.h5");
    std::mt19937 random(13);
    for (int i = 0; i < 300; ++i) {
        std::string bytes = whole;
        const std::size_t at = random() % whole.size();
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
        box.write("flipped.h5", bytes);
        CAPTURE(at);
        CHECK(box.run({"check", "flipped.h5"}).code == 5);
        const int shown = box.run({"show", "flipped.h5"}).code;
        CHECK((shown == 0 || shown == 5));
    }
}

TEST_SUITE_END();
