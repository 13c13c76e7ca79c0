#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wb {

/// The journal is the truth: an append-only file of records that survives kill -9 at any moment.
///   file   = header line "waferbench-journal 1 <crc32c of what stands before, hex>\n", then records
///   record = magic (57 42 F5 FE), u32 length, u32 CRC-32C over length and payload, payload; little-endian
/// F5 and FE never occur in UTF-8 text, so a reader that lost its place finds the next record by its magic.

/// A stretch of a journal that is not a whole record.
struct JournalDamage {
    std::uint64_t offset;   ///< bytes from the start of the file
    std::uint64_t bytes;    ///< how long the stretch is
    std::string_view what;  ///< one phrase, from a fixed set
};

struct Replay {
    std::vector<std::string> payloads;  ///< every record whose checksum holds, in file order
    std::vector<JournalDamage> damage;  ///< what had to be skipped in the middle, or in the header
    std::uint64_t torn_bytes = 0;       ///< an unfinished record at the very end: the writer was stopped while writing
    std::uint64_t end = 0;              ///< where the torn tail begins; the file's size if there is none
    bool header_whole = false;          ///< false for an empty or torn header (`end` is then 0), or a damaged one
};

/// `bytes` is a whole journal. Throws Error (Exit::baseline) when it is no journal or of a newer format; damage is no
/// error. Time and memory are linear in the size of `bytes`, whatever they hold. `place` names the file in messages.
Replay parse_journal(std::string_view bytes, std::string_view place);

/// Reads a journal, also one that is being written. Throws Error: Exit::baseline as above or if missing, Exit::io if
/// unreadable.
Replay read_journal(const std::filesystem::path& path);

/// The single writer of a journal. Moves, does not copy.
class JournalWriter {
public:
    /// Creates the file, or replays an existing one and cuts off a torn tail. Holds an exclusive flock until destroyed.
    /// `sync_every` = 0 makes each append durable before it returns; a longer time lets appends within it share one
    /// fdatasync. Throws Error: Exit::io when locked by another writer or not writable, Exit::baseline when the file is
    /// no journal.
    static JournalWriter open(const std::filesystem::path& path,
                              std::chrono::milliseconds sync_every = std::chrono::milliseconds(0));

    JournalWriter(JournalWriter&& other) noexcept;
    JournalWriter& operator=(JournalWriter&&) = delete;
    ~JournalWriter();

    /// Appends one record (UTF-8 text, at most 1 GiB). When it returns the record is on the disk (or will be within
    /// sync_every). On failure (disk full, I/O error) the file is cut back to its last good end and Error (Exit::io) is
    /// thrown; the records before are safe, and append may be tried again.
    void append(std::string_view payload);

    /// Makes everything appended so far durable. Throws Error (Exit::io).
    void sync();

    const Replay& replay() const noexcept { return replay_; }    ///< what the file held when it was opened
    Replay take_replay() { return std::exchange(replay_, {}); }  ///< the same, to free its memory here
    bool locked() const noexcept { return locked_; }             ///< false where the file system has no flock: warn
    std::uint64_t records() const noexcept { return records_; }  ///< readable records in the file now

private:
    JournalWriter() = default;
    void lock();
    void begin();
    [[noreturn]] void fail(int error, const char* doing, std::uint64_t needed_bytes, std::uint64_t good_end);

    std::filesystem::path path_;
    Replay replay_;
    int file_ = -1;
    bool locked_ = false;
    std::uint64_t end_ = 0;         ///< end of the last whole record
    std::uint64_t synced_end_ = 0;  ///< everything before is known to be on the disk
    std::uint64_t records_ = 0;
    std::uint64_t synced_records_ = 0;
    std::chrono::milliseconds sync_every_{0};
    std::chrono::steady_clock::time_point last_sync_;
    std::string buffer_;
};

}  // namespace wb
