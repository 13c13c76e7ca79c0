#include "harness/publish.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

#include "core/error.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;
namespace fs = std::filesystem;

namespace {

struct FileLimit {
    rlimit before{};
    explicit FileLimit(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before);
        const rlimit lowered{bytes, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &lowered);
    }
    ~FileLimit() { ::setrlimit(RLIMIT_FSIZE, &before); }
};

/// Gives up root's right to write anywhere, for its lifetime.
struct Ordinary {
    bool was_root = ::geteuid() == 0;
    Ordinary() {
        if (was_root) REQUIRE(::seteuid(65534) == 0);
    }
    ~Ordinary() {
        if (was_root && ::seteuid(0) != 0) std::abort();
    }
};

std::string slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t files_in(const fs::path& path) {
    return std::size_t(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
}

Table cases(double first) {
    return {
        "cases",
        "one row per case",
        {{"elapsed_s", "s", "time to completion", "measured", "lower", std::vector<double>{first, 2.5, std::nan("")}},
         {"status", "1", "0 is ok", "derived", "none", std::vector<std::uint8_t>{0, 0, 1}},
         {"workload", "", "name", "input", "none", std::vector<std::string>{"gemm", "größe", ""}}}};
}

void publish_cases(const fs::path& path, double first) {
    publish(path, [&](Hdf5Writer& writer) {
        writer.attribute("run_uuid", std::string("1"));
        writer.write(cases(first));
        writer.text("provenance/argv", "waferbench run");
    });
}

/// The message of the Error with Exit::io that the action throws; empty if it throws none.
std::string io_failure(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        CHECK(error.code() == Exit::io);
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("publish: the new file is complete, replaces the old one, and leaves nothing beside it") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    CHECK(verify(path).empty());
    CHECK(values<double>(Hdf5Reader(path).table("cases"), "elapsed_s")[0] == 1.5);
    publish_cases(path, 7.5);
    CHECK(verify(path).empty());
    CHECK(values<double>(Hdf5Reader(path).table("cases"), "elapsed_s")[0] == 7.5);
    CHECK(files_in(folder.path) == 1);
    const Hdf5Reader reader(path);
    CHECK(std::get<std::int64_t>(*reader.attribute("integrity", "record_count")) == 3);
    CHECK(std::get<std::int64_t>(*reader.attribute("integrity", "closed")) == 1);
}

TEST_CASE("publish: a full disk leaves the old file intact, at whatever byte it fills") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const std::string old = slurp(path);
    for (rlim_t limit = 0; limit < old.size(); limit += 1 + old.size() / 13) {
        CAPTURE(limit);
        const FileLimit full(limit);
        const std::string message = io_failure([&] { publish_cases(path, 7.5); });
        CHECK(message.find(std::to_string(old.size()) + " bytes were needed, " + std::to_string(limit) + " fitted") !=
              message.npos);
        CHECK(slurp(path) == old);
        CHECK(files_in(folder.path) == 1);
    }
    publish_cases(path, 7.5);
    CHECK(verify(path).empty());
}

TEST_CASE("publish: a directory that is read-only or absent is an Error, not a loss") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const std::string old = slurp(path);
    fs::permissions(folder.path,
                    fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
    {
        const Ordinary user;
        CHECK(io_failure([&] { publish_cases(path, 7.5); }).find("Permission denied") != std::string::npos);
    }
    fs::permissions(folder.path, fs::perms::owner_all);
    CHECK(slurp(path) == old);
    CHECK(!io_failure([&] { publish_cases(folder.path / "no/such/run.h5", 1); }).empty());
    fs::create_directory(folder.path / "taken.h5");
    CHECK(!io_failure([&] { publish_cases(folder.path / "taken.h5", 1); }).empty());
    CHECK(files_in(folder.path) == 2);
}

TEST_CASE("publish: when the builder throws, or what was written is wrong, the old file stays") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const std::string old = slurp(path);
    CHECK_THROWS_AS(publish(path,
                            [](Hdf5Writer& writer) {
                                writer.write(cases(1));
                                throw Error({"journal", "cannot go on", "", ""}, Exit::failed);
                            }),
                    Error);
    const std::byte wrong[] = {std::byte{1}, std::byte{2}};
    CHECK(!io_failure([&] {
               replace_file(path, wrong, [](const fs::path& aside) {
                   throw Error({aside.string(), verify(aside).at(0), "", ""}, Exit::io);
               });
           }).empty());
    CHECK(slurp(path) == old);
    CHECK(files_in(folder.path) == 1);
}

TEST_CASE("publish: killed at any moment, the file is the old one or the new one, whole") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 0);
    for (int round = 0; round < 12; ++round) {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0)
            for (int i = 1;; ++i) publish_cases(path, i);
        ::usleep(useconds_t(3000 + 1700 * round));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        CHECK(verify(path).empty());
    }
}

TEST_CASE("verify: says what is wrong with a file that was changed or never finished") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const std::string whole = slurp(path);
    const auto problems_of = [&](const std::string& bytes) {
        std::ofstream(path, std::ios::binary) << bytes;
        std::string all;
        for (const std::string& problem : verify(path)) all += problem + "\n";
        return all;
    };
    const auto changed = [&](std::string_view from, std::string_view to) {
        std::string bytes = whole.substr(0, whole.size() - 20);  // as an editor leaves it: without the seal
        const std::size_t at = bytes.find(from);
        REQUIRE(at != bytes.npos);
        bytes.replace(at, to.size(), to);
        return problems_of(bytes);
    };
    CHECK(problems_of(whole).empty());
    CHECK(problems_of(whole.substr(0, whole.size() - 20)) ==
          "the file has no seal: it was cut or edited after publishing\n");
    CHECK(problems_of(whole + "x").find("no seal") != std::string::npos);
    CHECK(changed("time to completion", "time to start     ").find("/cases/elapsed_s has changed") !=
          std::string::npos);
    CHECK(changed("waferbench run", "waferbench RUN").find("/provenance/argv has changed") != std::string::npos);
    CHECK(changed("measured", "modelled").find("/cases/elapsed_s has changed") != std::string::npos);
    CHECK(changed(schema_version, "1.0.1").find("/ has changed") != std::string::npos);
    CHECK(changed(schema_version, "2.0.0").find("has schema 2.0.0") != std::string::npos);
    CHECK(changed("closed", "xlosed").find("/integrity has no number closed") != std::string::npos);
    CHECK(changed("record_count", "record_xount").find("/integrity has no number record_count") != std::string::npos);
    CHECK(verify(folder.path / "absent").size() == 1);
    CHECK(verify(folder.path).size() == 1);
}

TEST_CASE("verify: every flipped bit and every cut is noticed, and the HDF5 library never meets it") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const std::string whole = slurp(path);
    std::mt19937 random(3);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = whole;
        const bool in_seal = round < 160;
        const std::size_t bit = in_seal ? bytes.size() * 8 - 1 - std::size_t(round) : random() % (bytes.size() * 8);
        CAPTURE(bit);
        bytes[bit / 8] = char(bytes[bit / 8] ^ (1 << (bit % 8)));
        std::ofstream(path, std::ios::binary) << bytes;
        CHECK(!verify(path).empty());
    }
    for (std::size_t cut = 0; cut < whole.size(); cut += 1 + whole.size() / 97) {
        std::ofstream(path, std::ios::binary) << whole.substr(0, cut);
        CHECK(!verify(path).empty());
    }
}

TEST_CASE("publish: h5py, pandas and h5ls read the file") {
    const Folder folder;
    const auto path = folder.path / "run.h5";
    publish_cases(path, 1.5);
    const auto run = [&](const std::string& command) {
        const int status = std::system((command + " > " + (folder.path / "out").string() + " 2>&1").c_str());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    const std::string script = std::string(WB_SOURCE_DIR) + "/tests/harness/read_store.py";
    const int read = run("/usr/bin/python3 '" + script + "' " + path.string() + " cases");
    CAPTURE(slurp(folder.path / "out"));
    CHECK_MESSAGE((read == 0 || read == 77), "exit code " << read);
    if (read == 77) MESSAGE("not checked: h5py or pandas is not installed");
    if (read == 0) CHECK(slurp(folder.path / "out").find("größe") != std::string::npos);
    const int listed = run("h5ls -r " + path.string());
    if (listed == 127) MESSAGE("not checked: h5ls is not installed");
    const std::string listing = slurp(folder.path / "out");
    if (listed != 127) CHECK(listing.find("/cases/elapsed_s         Dataset {3}") != std::string::npos);
}
