#include "harness/journal.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "core/crc32c.hpp"
#include "core/error.hpp"

namespace wb {
namespace {

using namespace std::string_view_literals;

constexpr auto magic = "WB\xF5\xFE"sv;
constexpr std::size_t head_bytes = 12;  // magic, length, checksum
constexpr std::uint64_t max_payload_bytes = 1ull << 30;
constexpr auto header_name = "waferbench-journal "sv;
constexpr std::uint64_t format_version = 1;

std::string header_line(std::uint64_t version) {
    const std::string text = fmt::format("{}{}", header_name, version);
    return fmt::format("{} {:08x}\n", text, crc32c(text));
}

void put_u32(std::string& out, std::uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xFFu);
}

std::uint32_t u32_at(std::string_view bytes, std::size_t offset) {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) value |= std::uint32_t(static_cast<unsigned char>(bytes[offset + i])) << (8 * i);
    return value;
}

/// The version of an undamaged header line, and where the records begin.
struct Header {
    std::uint64_t version;
    std::size_t size;
};

std::optional<Header> parse_header(std::string_view bytes) {
    constexpr std::size_t longest = 64;
    const std::size_t newline = bytes.substr(0, longest).find('\n');
    if (newline == bytes.npos || !bytes.starts_with(header_name)) return {};
    const std::string_view line = bytes.substr(0, newline);
    const std::string digits(line.substr(header_name.size(), line.find(' ', header_name.size()) - header_name.size()));
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != digits.npos) return {};
    const std::uint64_t version = std::stoull(digits);
    if (bytes.substr(0, newline + 1) != header_line(version)) return {};
    return Header{version, newline + 1};
}

void add_damage(Replay& replay, std::size_t offset, std::size_t bytes, std::string_view what) {
    if (bytes > 0) replay.damage.push_back({offset, bytes, what});
}

/// One segment runs from a magic to just before the next one, or to the end of the file.
void parse_segment(Replay& replay, std::string_view bytes, std::size_t begin, std::size_t end) {
    const bool last = end == bytes.size();
    const std::size_t available = end - begin;
    const std::uint64_t wanted =
        available < head_bytes ? head_bytes : head_bytes + std::uint64_t(u32_at(bytes, begin + 4));
    if (wanted > available) {
        if (!last) return add_damage(replay, begin, available, "a record shorter than its length says");
        replay.torn_bytes = available;
        replay.end = begin;
        return;
    }
    const auto payload = bytes.substr(begin + head_bytes, wanted - head_bytes);
    if (u32_at(bytes, begin + 8) != crc32c(payload, crc32c(bytes.substr(begin + 4, 4))))
        return add_damage(replay, begin, available, "a record whose checksum is wrong");
    replay.payloads.emplace_back(payload);
    const std::size_t behind = begin + wanted;
    if (last && magic.starts_with(bytes.substr(behind)) && behind < end) {
        replay.torn_bytes = end - behind;
        replay.end = behind;
        return;
    }
    add_damage(replay, behind, end - behind, "bytes that belong to no record");
}

std::string error_text(int error) { return std::generic_category().message(error); }

[[noreturn]] void throw_io(const std::filesystem::path& path, const char* doing, int error) {
    throw Error({path.string(), fmt::format("cannot {}: {}", doing, error_text(error)),
                 "the journal is what a campaign is resumed from", "Check the path, its permissions and the disk."},
                Exit::io);
}

std::string read_all(int file, const std::filesystem::path& path) {
    struct stat status {};
    if (::fstat(file, &status) != 0) throw_io(path, "read the journal", errno);
    if (!S_ISREG(status.st_mode))
        throw Error({path.string(), "is not a regular file", "a journal must be seekable", ""}, Exit::baseline);
    std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t got = 0;
    while (got < bytes.size()) {
        const ssize_t count = ::pread(file, bytes.data() + got, bytes.size() - got, static_cast<off_t>(got));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) throw_io(path, "read the journal", errno);
        if (count == 0) break;
        got += static_cast<std::size_t>(count);
    }
    bytes.resize(got);
    return bytes;
}

/// Writes all of `bytes` at the end of the file; 0, or the errno of the first failure.
int write_all(int file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno;
        if (count == 0) return EIO;
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return 0;
}

int sync_data(int file) {
    while (::fdatasync(file) != 0)
        if (errno != EINTR) return errno;
    return 0;
}

/// A new file's name is durable only once its directory is.
void sync_directory(const std::filesystem::path& path) {
    const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
    const int directory = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) throw_io(parent, "open the directory", errno);
    const int error = ::fsync(directory) == 0 ? 0 : errno;
    ::close(directory);
    if (error != 0 && error != EINVAL) throw_io(parent, "sync the directory", error);
}

}  // namespace

Replay parse_journal(std::string_view bytes, std::string_view place) {
    Replay replay;
    replay.end = bytes.size();
    const auto header = parse_header(bytes);
    if (header && header->version != format_version)
        throw Error(
            {std::string(place), fmt::format("journal format {} is newer than {}", header->version, format_version),
             "its records may mean something else", "Use the waferbench that wrote it, or a newer one."},
            Exit::baseline);
    const std::string expected = header_line(format_version);
    if (!header && expected.starts_with(bytes)) {
        replay.torn_bytes = bytes.size();
        replay.end = 0;
        return replay;
    }
    replay.header_whole = header.has_value();
    std::size_t at = bytes.find(magic);
    const std::size_t first = std::min(at, bytes.size());
    if (header) {
        const auto between = bytes.substr(header->size, first - header->size);
        if (at == bytes.npos && magic.starts_with(between)) {
            replay.torn_bytes = between.size();
            replay.end = header->size;
        } else {
            add_damage(replay, header->size, between.size(), "bytes that belong to no record");
        }
    } else {
        add_damage(replay, 0, first, "a damaged header line");
    }
    while (at != bytes.npos) {
        const std::size_t next = bytes.find(magic, at + magic.size());
        parse_segment(replay, bytes, at, std::min(next, bytes.size()));
        at = next;
    }
    if (!header && replay.payloads.empty())
        throw Error(
            {std::string(place), "is not a waferbench journal", "neither its first line nor any record is one", ""},
            Exit::baseline);
    return replay;
}

Replay read_journal(const std::filesystem::path& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        const bool missing = errno == ENOENT;
        if (!missing) throw_io(path, "open the journal", errno);
        throw Error({path.string(), "there is no such journal", "", "Check the path."}, Exit::baseline);
    }
    std::string bytes;
    try {
        bytes = read_all(file, path);
    } catch (...) {
        ::close(file);
        throw;
    }
    ::close(file);
    return parse_journal(bytes, path.string());
}

JournalWriter JournalWriter::open(const std::filesystem::path& path, std::chrono::milliseconds sync_every) {
    JournalWriter writer;
    writer.path_ = path;
    writer.sync_every_ = sync_every;
    writer.file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (writer.file_ < 0) throw_io(path, "open the journal for writing", errno);
    writer.lock();
    writer.replay_ = parse_journal(read_all(writer.file_, path), path.string());
    writer.begin();
    return writer;
}

void JournalWriter::lock() {
    locked_ = ::flock(file_, LOCK_EX | LOCK_NB) == 0;
    if (locked_ || errno != EWOULDBLOCK)
        return;  // without flock (some network file systems) the caller is told by locked()
    throw Error({path_.string(), "another process is writing this journal", "two writers would mix two campaigns",
                 "Wait for it to end, or write to another run directory."},
                Exit::io);
}

void JournalWriter::begin() {
    if (replay_.torn_bytes > 0 && ::ftruncate(file_, static_cast<off_t>(replay_.end)) != 0)
        throw_io(path_, "cut off the torn end of the journal", errno);
    end_ = replay_.end;
    if (end_ == 0) {
        const std::string header = header_line(format_version);
        if (const int error = write_all(file_, header)) fail(error, "write the first line", header.size(), 0);
        end_ = header.size();
    }
    if (const int error = sync_data(file_)) throw_io(path_, "sync the journal", error);
    sync_directory(path_);
    synced_end_ = end_;
    records_ = synced_records_ = replay_.payloads.size();
    last_sync_ = std::chrono::steady_clock::now();
}

JournalWriter::JournalWriter(JournalWriter&& other) noexcept
    : path_(std::move(other.path_)),
      replay_(std::move(other.replay_)),
      file_(std::exchange(other.file_, -1)),
      locked_(other.locked_),
      end_(other.end_),
      synced_end_(other.synced_end_),
      records_(other.records_),
      synced_records_(other.synced_records_),
      sync_every_(other.sync_every_),
      last_sync_(other.last_sync_),
      buffer_(std::move(other.buffer_)) {}

JournalWriter::~JournalWriter() {
    if (file_ < 0) return;
    if (synced_end_ < end_) sync_data(file_);  // a destructor has nobody to tell: call sync() first
    ::close(file_);
}

void JournalWriter::fail(int error, const char* doing, std::uint64_t needed_bytes, std::uint64_t good_end) {
    const std::uint64_t unsafe = good_end == synced_end_ ? records_ - synced_records_ : 0;
    if (::ftruncate(file_, static_cast<off_t>(good_end)) == 0) {
        end_ = good_end;
        records_ -= unsafe;
    } else if (const off_t size = ::lseek(file_, 0, SEEK_END); size >= 0) {
        end_ = static_cast<std::uint64_t>(size);  // what could not be cut off stays, and readers step over it
    }
    std::string why = fmt::format("{} bytes were needed; the {} records before are safe", needed_bytes, records_);
    if (unsafe > 0) why += fmt::format("; {} not yet on the disk were dropped", unsafe);
    throw Error({path_.string(), fmt::format("cannot {}: {}", doing, error_text(error)), why,
                 "Free some space or mend the disk, then resume."},
                Exit::io);
}

void JournalWriter::append(std::string_view payload) {
    WB_EXPECT(payload.size() <= max_payload_bytes);
    WB_EXPECT(payload.find(magic) == payload.npos);
    buffer_.assign(magic);
    put_u32(buffer_, static_cast<std::uint32_t>(payload.size()));
    const std::uint32_t checksum = crc32c(payload, crc32c(buffer_.data() + magic.size(), 4));
    put_u32(buffer_, checksum);
    buffer_ += payload;
    const std::uint64_t before = end_;
    if (const int error = write_all(file_, buffer_)) fail(error, "append a record", buffer_.size(), before);
    end_ += buffer_.size();
    ++records_;
    if (sync_every_.count() == 0 || std::chrono::steady_clock::now() - last_sync_ >= sync_every_) sync();
}

void JournalWriter::sync() {
    if (const int error = sync_data(file_)) fail(error, "sync the journal", end_ - synced_end_, synced_end_);
    synced_end_ = end_;
    synced_records_ = records_;
    last_sync_ = std::chrono::steady_clock::now();
}

}  // namespace wb
