#include "harness/journal.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <random>

#include "core/crc32c.hpp"
#include "core/error.hpp"
#include "tests/temp_folder.hpp"

using namespace wb;
namespace fs = std::filesystem;

namespace {

std::string slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void spill(const fs::path& path, std::string_view bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), std::streamsize(bytes.size()));
}

const std::vector<std::string> three = {R"({"case":1,"t_s":0.25})", R"({"case":2,"name":"größe"})", R"({"case":3})"};

std::string journal_bytes(const fs::path& path, const std::vector<std::string>& payloads) {
    {
        auto writer = JournalWriter::open(path);
        for (const auto& payload : payloads) writer.append(payload);
    }
    return slurp(path);
}

Exit code_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.code();
    }
    return Exit::ok;
}

/// Lowers the largest allowed file for its lifetime: what a full disk looks like, without root.
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

}  // namespace

TEST_CASE("crc32c: the published check values, and the fast path equals the tables") {
    CHECK(crc32c("123456789") == 0xE3069283u);              // the catalogue's check value of CRC-32/ISCSI
    CHECK(crc32c(std::string(32, '\0')) == 0x8A9136AAu);    // RFC 3720, appendix B.4
    CHECK(crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);  // RFC 3720, appendix B.4
    std::mt19937 random(1);
    std::string text(257, '\0');
    for (char& c : text) c = char(random());
    for (std::size_t begin = 0; begin < 9; ++begin)
        for (std::size_t size = 0; begin + size <= text.size(); size += 7) {
            CHECK(crc32c(&text[begin], size, 77) == crc32c_portable(&text[begin], size, 77));
            CHECK(crc32c(std::string_view(text).substr(begin + size), crc32c(&text[begin], size)) ==
                  crc32c(std::string_view(text).substr(begin)));
        }
}

TEST_CASE("journal: what is appended is read back, and appending goes on after reopening") {
    const Folder folder;
    const auto path = folder.path / "größe.journal";
    journal_bytes(path, three);
    {
        auto writer = JournalWriter::open(path);
        CHECK(writer.replay().payloads == three);
        CHECK(writer.records() == 3);
        writer.append("");
        writer.append("last");
        CHECK(writer.records() == 5);
    }
    const Replay replay = read_journal(path);
    CHECK(replay.payloads == std::vector<std::string>{three[0], three[1], three[2], "", "last"});
    CHECK(replay.damage.empty());
    CHECK(replay.torn_bytes == 0);
    CHECK(replay.header_whole);
    CHECK(replay.end == fs::file_size(path));
}

TEST_CASE("journal: cut anywhere, it keeps every whole record, and a writer mends it") {
    const Folder folder;
    const std::string whole = journal_bytes(folder.path / "whole", three);
    std::vector<std::size_t> ends = {parse_journal(whole.substr(0, whole.find("WB\xF5\xFE")), "").end};
    for (const auto& payload : three) ends.push_back(ends.back() + 12 + payload.size());
    REQUIRE(ends.back() == whole.size());
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        CAPTURE(cut);
        const auto path = folder.path / "cut";
        spill(path, std::string_view(whole).substr(0, cut));
        const std::size_t kept = std::size_t(std::upper_bound(ends.begin() + 1, ends.end(), cut) - ends.begin()) - 1;
        const Replay replay = read_journal(path);
        CHECK(replay.payloads == std::vector<std::string>(three.begin(), three.begin() + long(kept)));
        CHECK(replay.damage.empty());
        CHECK(replay.end == (cut < ends[0] ? 0 : ends[kept]));
        CHECK(replay.torn_bytes == cut - replay.end);
        JournalWriter::open(path).append("more");
        const Replay mended = read_journal(path);
        REQUIRE(mended.payloads.size() == kept + 1);
        CHECK(mended.payloads.back() == "more");
        CHECK(mended.damage.empty());
        CHECK(mended.torn_bytes == 0);
    }
}

TEST_CASE("journal: one flipped bit costs at most the record it is in, and is reported") {
    const Folder folder;
    const std::string whole = journal_bytes(folder.path / "whole", three);
    const std::size_t header = whole.find("WB\xF5\xFE");
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
        CAPTURE(bit);
        std::string bytes = whole;
        bytes[bit / 8] = char(bytes[bit / 8] ^ (1 << (bit % 8)));
        std::size_t hit = three.size();
        std::size_t begin = header;
        for (std::size_t i = 0; i < three.size(); begin += 12 + three[i++].size())
            if (bit / 8 >= begin && bit / 8 < begin + 12 + three[i].size()) hit = i;
        std::vector<std::string> expected = three;
        if (hit < three.size()) expected.erase(expected.begin() + long(hit));
        const Replay replay = parse_journal(bytes, "flipped");
        CHECK(replay.payloads == expected);
        REQUIRE(replay.damage.size() + (replay.torn_bytes > 0 ? 1 : 0) == 1);
        const std::size_t at = replay.torn_bytes > 0 ? replay.end : replay.damage[0].offset;
        const std::size_t bytes_lost = replay.torn_bytes > 0 ? replay.torn_bytes : replay.damage[0].bytes;
        CHECK(at <= bit / 8);
        CHECK(bit / 8 < at + bytes_lost);
    }
}

TEST_CASE("journal: garbage is refused or skipped, never believed") {
    const Folder folder;
    const std::string whole = journal_bytes(folder.path / "whole", three);
    CHECK(code_of([] { parse_journal("{\"a\": 1}\n", "x"); }) == Exit::baseline);
    CHECK(code_of([] { parse_journal(std::string(4096, '\0'), "x"); }) == Exit::baseline);
    CHECK(code_of([&] { read_journal(folder.path / "absent"); }) == Exit::baseline);
    CHECK(code_of([&] { read_journal(folder.path); }) != Exit::ok);
    spill(folder.path / "mine.txt", "a text of the user's\n");
    CHECK(code_of([&] { JournalWriter::open(folder.path / "mine.txt"); }) == Exit::baseline);
    CHECK(slurp(folder.path / "mine.txt") == "a text of the user's\n");

    const std::string newer = "waferbench-journal 2";
    char digits[16];
    std::snprintf(digits, sizeof digits, " %08x\n", crc32c(newer));
    CHECK(code_of([&] { parse_journal(newer + digits, "x"); }) == Exit::baseline);

    const Replay zeros =
        parse_journal(whole + std::string(4096, '\0'), "x");  // a size that reached the disk before its data
    CHECK(zeros.payloads == three);
    CHECK(zeros.damage.size() == 1);

    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        std::string bytes = whole;
        for (int change = 0; change < 4; ++change) {
            const std::size_t at = random() % bytes.size();
            switch (random() % 4) {
                case 0: bytes[at] = char(random()); break;
                case 1: bytes.erase(at, random() % 9); break;
                case 2: bytes.insert(at, std::string("WB\xF5\xFE\xFF\xFF\xFF\xFF").substr(0, random() % 9)); break;
                default: bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 40));
            }
        }
        try {
            for (const auto& payload : parse_journal(bytes, "x").payloads)
                CHECK(std::find(three.begin(), three.end(), payload) != three.end());
        } catch (const Error& error) {
            CHECK(error.code() == Exit::baseline);
        }
    }
    std::string magics;
    for (int i = 0; i < 200000; ++i) magics += "WB\xF5\xFE\xFF\xFF\x0F";
    CHECK(code_of([&] { parse_journal(magics, "x"); }) == Exit::baseline);  // and in linear time
}

TEST_CASE("journal: a second writer is refused until the first is gone") {
    const Folder folder;
    const auto path = folder.path / "j";
    {
        auto first = JournalWriter::open(path);
        REQUIRE(first.locked());
        CHECK(code_of([&] { JournalWriter::open(path); }) == Exit::io);
        first.append("a");
        auto moved = std::move(first);
        moved.append("b");
        CHECK(read_journal(path).payloads.size() == 2);  // a reader needs no lock
    }
    JournalWriter::open(path).append("c");
    CHECK(read_journal(path).payloads == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("journal: a full disk costs nothing that was acknowledged, and appending works again after it") {
    const Folder folder;
    const auto path = folder.path / "j";
    const std::string payload(1000, 'x');
    for (const rlim_t limit : {3000u, 3071u, 3072u, 4000u, 4095u}) {
        CAPTURE(limit);
        fs::remove(path);
        auto writer = JournalWriter::open(path);
        std::uint64_t acknowledged = 0;
        {
            const FileLimit full(limit);
            std::string message;
            try {
                for (int i = 0; i < 10; ++i, ++acknowledged) writer.append(payload);
            } catch (const Error& error) {
                CHECK(error.code() == Exit::io);
                message = error.what();
            }
            CHECK(message.find("1012 bytes were needed") != message.npos);
            CHECK(message.find("the " + std::to_string(acknowledged) + " records before are safe") != message.npos);
            CHECK(acknowledged > 0);
            CHECK(acknowledged < 10);
            CHECK(writer.records() == acknowledged);
            const Replay replay = read_journal(path);
            CHECK(replay.payloads.size() == acknowledged);
            CHECK(replay.torn_bytes == 0);
        }
        writer.append("after");
        const Replay replay = read_journal(path);
        REQUIRE(replay.payloads.size() == acknowledged + 1);
        CHECK(replay.payloads.back() == "after");
        CHECK(replay.damage.empty());
    }
    const FileLimit none(0);
    CHECK(code_of([&] { JournalWriter::open(folder.path / "new"); }) == Exit::io);
    CHECK(code_of([&] { JournalWriter::open(folder.path / "no/such/folder/j"); }) == Exit::io);
}

TEST_CASE("journal: kill -9 while appending loses no acknowledged record") {
    const Folder folder;
    for (int round = 0; round < 10; ++round) {
        const auto path = folder.path / std::to_string(round);
        int pipe_ends[2];
        REQUIRE(::pipe(pipe_ends) == 0);
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            auto writer = JournalWriter::open(path);
            for (std::uint32_t i = 0;; ++i) {
                writer.append(std::to_string(i) + std::string(i % 500, '.'));
                if (::write(pipe_ends[1], &i, sizeof i) != sizeof i) ::_exit(1);
            }
        }
        ::close(pipe_ends[1]);
        std::uint32_t last = 0;
        for (int i = 0; i < 5 + 7 * round; ++i) REQUIRE(::read(pipe_ends[0], &last, sizeof last) == sizeof last);
        ::kill(child, SIGKILL);
        while (::read(pipe_ends[0], &last, sizeof last) == sizeof last) {
        }
        ::close(pipe_ends[0]);
        ::waitpid(child, nullptr, 0);
        const Replay replay = read_journal(path);
        CHECK(replay.payloads.size() >= last + 1);
        CHECK(replay.damage.empty());
        for (std::uint32_t i = 0; i <= last; ++i)
            CHECK(replay.payloads[i] == std::to_string(i) + std::string(i % 500, '.'));
    }
}

TEST_CASE("journal: grouped syncs write the same file; a payload that is no text is a contract failure") {
    const Folder folder;
    {
        auto writer = JournalWriter::open(folder.path / "grouped", std::chrono::milliseconds(50));
        for (const auto& payload : three) writer.append(payload);
        writer.sync();
        CHECK_THROWS_AS(writer.append("WB\xF5\xFE"), ContractError);
    }
    CHECK(slurp(folder.path / "grouped") == journal_bytes(folder.path / "single", three));
}
