#include "harness/host_rates.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "core/tables.hpp"

namespace wb {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string line(const std::string& key, const std::string& value, const std::string& note) {
    return fmt::format("{} = {{ value = \"{}\", source = \"probe\", note = \"{}\" }}\n", key, value, note);
}

struct Product {
    double flop_per_s = 0;
    std::int64_t size = 0;
    std::string how;
};

/// A product of square matrices; nothing where no workload knows the type.
std::shared_ptr<const Graph> square_product(DType type, std::int64_t size) {
    try {
        return std::make_shared<const Graph>(build_workload(
            "gemm", {{"m", size}, {"n", size}, {"k", size}, {"dtype", std::string(name(type))}}, Files({})));
    } catch (const Error&) {
        return nullptr;
    }
}

void try_product(const BackendRow& row, const Case& c, Product& best) {
    constexpr double enough_s = 0.25;
    const std::unique_ptr<Comm> comm = single_process();
    const std::unique_ptr<Backend> backend = row.make();
    if (!backend->supports(c, 1).yes) return;
    const std::unique_ptr<Session> session = backend->prepare(c, *comm);
    session->run();
    const Clock::time_point start = Clock::now();
    for (int runs = 0; runs < 5 || seconds_since(start) < enough_s; ++runs) {
        const double rate = c.graph->flops().si() / session->run().elapsed.si();
        if (rate > best.flop_per_s) best = {rate, c.graph->tensors()[0].shape[0], session->usage().detail};
    }
}

/// The file that storage is tried with; gone when this is.
class Scratch {
public:
    explicit Scratch(const std::string& folder)
        : path_(fmt::format("{}/.waferbench-{}", folder, getpid())),
          file_(open(path_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600)) {}
    ~Scratch() {
        if (file_ < 0) return;
        close(file_);
        unlink(path_.c_str());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    int file() const { return file_; }

private:
    std::string path_;
    int file_;
};

/// Moves the whole buffer `pieces` times; false if the system stops short of it.
template <class Move>
bool move_all(std::vector<char>& buffer, int pieces, Move move) {
    for (int i = 0; i < pieces; ++i)
        for (std::size_t done = 0; done < buffer.size();) {
            const ssize_t n = move(buffer.data() + done, buffer.size() - done);
            if (n <= 0) return false;
            done += static_cast<std::size_t>(n);
        }
    return true;
}

}  // namespace

std::string product_rates(const System& host, int threads) {
    std::string out;
    Case c;
    c.system = std::make_shared<const System>(host);
    c.threads = threads;
    for (const DType type : all_dtypes()) {
        Product best;
        for (const std::int64_t size : {512, 1024, 2048}) {  // small ones pass undisturbed on a busy machine
            c.graph = c.small = is_class(type) ? nullptr : square_product(type, size);
            for (const BackendRow& row : all_backends())
                if (c.graph && row.make && !row.on_request && row.make()->kind() == Kind::measured)
                    try_product(row, c, best);
        }
        if (best.flop_per_s > 0)
            out += line(fmt::format("gemm_{}", name(type)), fmt::format("{:.4g} GFLOP/s", best.flop_per_s / 1e9),
                        fmt::format("m = n = k = {}: {}", best.size, best.how));
    }
    return out;
}

std::string storage_rates(const std::string& folder) {
    constexpr int tries = 3, pieces = 32;
    std::vector<char> buffer(std::size_t{8} << 20);
    for (std::size_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<char>(i * 2654435761u >> 13);
    const double bytes = static_cast<double>(buffer.size()) * pieces;
    double write_s = std::numeric_limits<double>::infinity(), read_s = write_s;
    for (int i = 0; i < tries; ++i) {
        const Scratch scratch(folder);
        if (scratch.file() < 0) return "";
        Clock::time_point start = Clock::now();
        if (!move_all(buffer, pieces, [&](char* p, std::size_t n) { return write(scratch.file(), p, n); })) return "";
        if (fsync(scratch.file()) != 0) return "";
        write_s = std::min(write_s, seconds_since(start));
        posix_fadvise(scratch.file(), 0, 0, POSIX_FADV_DONTNEED);
        lseek(scratch.file(), 0, SEEK_SET);
        start = Clock::now();
        if (!move_all(buffer, pieces, [&](char* p, std::size_t n) { return read(scratch.file(), p, n); })) return "";
        read_s = std::min(read_s, seconds_since(start));
    }
    const std::string note = fmt::format("one file of {:.0f} MB", bytes / 1e6);
    return line("storage_write_bandwidth", fmt::format("{:.4g} GB/s", bytes / write_s / 1e9), note + ", synced") +
           line("storage_read_bandwidth", fmt::format("{:.4g} GB/s", bytes / read_s / 1e9),
                note + ", after the kernel was told to forget it");
}

std::string message_rates(Comm& comm, const std::string& date) {
    if (comm.size() < 2) return "";
    const auto best_s = [&](std::size_t bytes, int tries, int messages) {
        const std::vector<char> from(bytes, 1);
        std::vector<char> to(bytes);
        double best = std::numeric_limits<double>::infinity();
        for (int i = 0; i < tries; ++i) {
            comm.barrier();
            const Clock::time_point start = Clock::now();
            for (int k = 0; k < messages; ++k)
                comm.shift(from.data(), to.data(), static_cast<std::int64_t>(bytes), DType::int8);
            best = std::min(best, comm.max(seconds_since(start)) / messages);
        }
        return best;
    };
    const double latency_s = best_s(8, 25, 100);
    double rate = 0, size = 0;
    for (const std::size_t bytes :
         {std::size_t{1} << 16, std::size_t{1} << 18, std::size_t{1} << 20, std::size_t{1} << 22}) {
        const double now = static_cast<double>(bytes) / best_s(bytes, 9, 4);
        if (now > rate) rate = now, size = static_cast<double>(bytes);
    }
    const std::string note =
        fmt::format("{} ranks in a ring, each to the next, {}, {}", comm.size(), comm.library(), date);
    return comm.share(line("mpi_latency", fmt::format("{:.4g} us", latency_s * 1e6), "8 B; " + note) +
                      line("mpi_bandwidth", fmt::format("{:.4g} GB/s", rate / 1e9),
                           fmt::format("each way, messages of {:.0f} KiB; {}", size / 1024, note)));
}

}  // namespace wb
