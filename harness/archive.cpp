#include "harness/archive.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <ctime>
#include <fstream>
#include <utility>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "harness/result_file.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

/// Cases shorter than this share an fdatasync: kill -9 loses none, a power cut at most this much work.
constexpr std::chrono::milliseconds sync_every{100};

/// Results of an unfinished run of the same experiment, newest first.
fs::path newest_journal(const fs::path& folder, const std::string& name) {
    fs::path best;
    std::error_code ignored;
    for (const auto& e : fs::directory_iterator(folder, ignored)) {
        const std::string file = e.path().filename().string();
        if (e.path().extension() == ".journal" && file.rfind(name + "-", 0) == 0 &&
            (best.empty() || file > best.filename().string()))
            best = e.path();
    }
    return best;
}

}  // namespace

Archive::Archive(const std::string& output, bool resume, const std::string& name) {
    const fs::path folder = "results";
    if (!output.empty()) {
        file_ = output;
        if (file_.extension() != ".h5")
            throw Error({output, "does not end in .h5", "results are HDF5 files", "Name it like results/mine.h5."});
    } else if (resume) {
        file_ = newest_journal(folder, name).replace_extension(".h5");
        if (file_.empty() || file_ == ".h5")
            throw Error({"--resume", fmt::format("there is no journal results/{}-*.journal", name),
                         "nothing was begun that could go on", "Run without --resume, or give --output."},
                        Exit::baseline);
    } else {
        file_ = folder / fmt::format("{}-{}.h5", name, utc("%Y%m%d-%H%M%S"));
    }
    fs::path journal = file_;
    journal.replace_extension(".journal");
    std::error_code failed;
    if (file_.has_parent_path()) fs::create_directories(file_.parent_path(), failed);
    if (!resume && fs::exists(journal)) {
        JournalWriter::open(journal);  // throws where another run writes it, or where it is no journal of ours
        fs::remove(journal, failed);
    }
    writer_.emplace(JournalWriter::open(journal, sync_every));
    if (!writer_->locked())
        fmt::print(stderr, "warning: {} cannot be locked here; do not run two jobs into it.\n", journal.string());
    Replay replay = writer_->take_replay();
    records_ = std::move(replay.payloads);
    set_ = from_records(records_, journal.string());
    for (const JournalDamage& d : replay.damage)
        fmt::print(stderr, "warning: {}: {} bytes at {} are damaged ({}); the rest is used.\n", journal.string(),
                   d.bytes, d.offset, d.what);
}

void Archive::put(const std::string& record) {
    writer_->append(record);
    records_.push_back(record);
}

void Archive::publish() {
    writer_->sync();
    set_ = {};
    set_ = from_records(std::exchange(records_, {}), file_.string());
    write_results(file_, set_);
}

std::string utc(const char* pattern) {
    const std::time_t t = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&t, &parts);
    return fmt::format(fmt::runtime(fmt::format("{{:{}}}", pattern)), parts);
}

std::string code_fingerprint() {
    std::ifstream in("/proc/self/exe", std::ios::binary);
    Digest d;
    std::array<char, 1 << 16> buffer;
    while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0)
        d.add(std::string_view(buffer.data(), static_cast<std::size_t>(in.gcount())));
    return d.hex();
}

std::string full_key(const PlannedCase& p, const std::string& code) {
    const Protocol& o = p.c.protocol;
    Digest d;
    d.add(p.c.key).add(p.c.graph->fingerprint()).add(p.c.system->text).add(p.c.resolved_dtype).add(code);
    d.add(o.warmup)
        .add(o.min_samples)
        .add(o.max_samples)
        .add(o.min_time.si())
        .add(o.timeout.si())
        .add(o.max_noise)
        .add(o.verify);
    d.add(p.c.seed);
    if (p.tokens) d.add(p.tokens->dataset().hash);
    return d.hex();
}

}  // namespace wb
