#include "core/comm.hpp"

#include <cstdlib>
#include <cstring>

#include "core/element.hpp"
#include "core/error.hpp"

namespace wb {
namespace {

/// What one process alone starts is finished at once.
class Finished final : public Pending {
public:
    bool test() override { return true; }
    void wait() override {}
};

[[noreturn]] void no_groups(const Comm& comm) {
    throw Error({comm.library(), "ranks of this kind form no groups and send no messages to one another",
                 "the work cannot be spread that way", "Run it under mpirun."});
}

class SingleProcess final : public Comm {
public:
    int rank() const override { return 0; }
    int size() const override { return 1; }
    std::string library() const override { return "single process"; }
    void barrier() override {}
    void allreduce(const void* in, void* out, std::int64_t n, DType type) override { copy(in, out, n, type); }
    void allgather(const void* in, void* out, std::int64_t n, DType type) override { copy(in, out, n, type); }
    void reduce_scatter(const void* in, void* out, std::int64_t n, DType type) override { copy(in, out, n, type); }
    void alltoall(const void* in, void* out, std::int64_t n, DType type) override { copy(in, out, n, type); }
    void broadcast(void*, std::int64_t, DType, int) override {}
    void shift(const void* in, void* out, std::int64_t n, DType type) override { copy(in, out, n, type); }
    std::unique_ptr<Comm> split(int, int) override { return single_process(); }
    void reduce(const void* in, void* out, std::int64_t n, DType type, int) override { copy(in, out, n, type); }
    std::unique_ptr<Pending> start_broadcast(void*, std::int64_t, DType, int) override { return done(); }
    std::unique_ptr<Pending> start_barrier() override { return done(); }
    double max(double value) override { return value; }
    std::vector<std::vector<double>> gather(std::span<const double> mine) override {
        return {{mine.begin(), mine.end()}};
    }
    std::vector<std::string> gather(const std::string& mine) override { return {mine}; }
    std::vector<std::string> deliver(const std::vector<std::string>& to_each) override { return to_each; }
    std::string share(const std::string& mine) override { return mine; }
    [[noreturn]] void end_job(int code) override { std::_Exit(code); }

private:
    static std::unique_ptr<Pending> done() { return std::make_unique<Finished>(); }
    static void copy(const void* in, void* out, std::int64_t n, DType type) {
        if (in != out) std::memmove(out, in, static_cast<std::size_t>(n * stored_bytes(type)));
    }
};

}  // namespace

std::unique_ptr<Comm> Comm::split(int, int) { no_groups(*this); }
void Comm::reduce(const void*, void*, std::int64_t, DType, int) { no_groups(*this); }
std::unique_ptr<Pending> Comm::start_send(const void*, std::int64_t, DType, int) { no_groups(*this); }
std::unique_ptr<Pending> Comm::start_receive(void*, std::int64_t, DType, int) { no_groups(*this); }
std::unique_ptr<Pending> Comm::start_broadcast(void*, std::int64_t, DType, int) { no_groups(*this); }
std::unique_ptr<Pending> Comm::start_allreduce(const void* in, void* out, std::int64_t count, DType type) {
    allreduce(in, out, count, type);
    return std::make_unique<Finished>();
}
std::unique_ptr<Pending> Comm::start_barrier() { no_groups(*this); }

std::unique_ptr<Comm> single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace wb
