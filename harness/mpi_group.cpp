#ifdef WB_HAVE_MPI
#include "harness/mpi_group.hpp"

#include "harness/mpi_sum.hpp"

#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "core/element.hpp"
#include "core/error.hpp"

namespace wb {
namespace {

constexpr int pair_tag = 3;

/// "Open MPI v4.1.4, package: ..." and "MPICH Version:\t4.0.2\n..." become "Open MPI 4.1.4" and "MPICH 4.0.2".
std::string short_name(std::string_view text) {
    std::string out(text.substr(0, text.find_first_of(",\n")));
    if (const auto at = out.find(" Version:"); at != std::string::npos) {
        const auto number = out.find_first_not_of(" \t", at + 9);
        out.replace(at, (number == std::string::npos ? out.size() : number) - at, " ");
    }
    if (const auto at = out.find(" v"); at != std::string::npos) out.erase(at + 1, 1);
    return out;
}

/// Requests that are one message to whoever asked. MPI calls that end requests set them to MPI_REQUEST_NULL.
class MpiPending final : public Pending {
public:
    ~MpiPending() override { MPI_Waitall(count(), requests_.data(), MPI_STATUSES_IGNORE); }
    /// Valid until the next call.
    MPI_Request* add() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
    bool test() override {
        int done = 0;
        check(MPI_Testall(count(), requests_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
        return done != 0;
    }
    void wait() override { check(MPI_Waitall(count(), requests_.data(), MPI_STATUSES_IGNORE), "MPI_Waitall"); }

private:
    int count() const { return static_cast<int>(requests_.size()); }
    std::vector<MPI_Request> requests_;
};

class MpiGroup final : public Comm {
public:
    MpiGroup(MPI_Comm comm, std::shared_ptr<const Wires> wires, std::int64_t largest_count,
             std::function<void()> at_end)
        : comm_(comm), wires_(std::move(wires)), largest_(largest_count), at_end_(std::move(at_end)) {
        check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
    }
    MpiGroup(const MpiGroup&) = delete;
    MpiGroup& operator=(const MpiGroup&) = delete;
    ~MpiGroup() override {
        wires_.reset();
        at_end_();
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    std::string library() const override {
        std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
        int length = 0;
        MPI_Get_library_version(text.data(), &length);
        return short_name({text.data(), static_cast<std::size_t>(length)});
    }

    bool takes_device_memory() const override {
#ifdef MPIX_CUDA_AWARE_SUPPORT
        return MPIX_Query_cuda_support() == 1;
#else
        return false;
#endif
    }

    void barrier() override { check(MPI_Barrier(comm_), "MPI_Barrier"); }

    void allreduce(const void* in, void* out, std::int64_t count, DType type) override {
        const Wire& how = wires_->of(type);
        in_parts(count, [&](std::int64_t start, int part) {
            const void* from = in == out ? MPI_IN_PLACE : at(in, start, type);
            check(MPI_Allreduce(from, at(out, start, type), part, how.type, how.sum, comm_), "MPI_Allreduce");
        });
    }

    void allgather(const void* in, void* out, std::int64_t count_each, DType type) override {
        void* mine = at(out, rank_ * count_each, type);
        if (in == out) copy(in, mine, count_each, type);
        if (count_each > largest_) {
            if (in != out) copy(in, mine, count_each, type);
            for (int r = 0; r < size_; ++r) broadcast(at(out, r * count_each, type), count_each, type, r);
        } else if (count_each > 0) {
            const int n = static_cast<int>(count_each);
            const void* from = in == out || in == mine ? MPI_IN_PLACE : in;
            const Wire& how = wires_->of(type);
            check(MPI_Allgather(from, n, how.type, out, n, how.type, comm_), "MPI_Allgather");
        }
    }

    void reduce_scatter(const void* in, void* out, std::int64_t count_each, DType type) override {
        if (count_each == 0) return;
        if (count_each * size_ > largest_) return reduce_each(in, out, count_each, type);
        const Wire& how = wires_->of(type);
        // Not MPI_Reduce_scatter_block: among a few ranks that of Open MPI 4.1 reduces long buffers to one rank, which
        // then deals them out, and takes two to eight times as long.
        const std::vector<int> counts(static_cast<std::size_t>(size_), static_cast<int>(count_each));
        check(MPI_Reduce_scatter(in == out ? MPI_IN_PLACE : in, out, counts.data(), how.type, how.sum, comm_),
              "MPI_Reduce_scatter");
    }

    void alltoall(const void* in, void* out, std::int64_t count_each, DType type) override {
        std::vector<std::byte> aside;  // Open MPI's own in-place algorithm is slower than this copy
        if (in == out) {
            const auto* bytes = static_cast<const std::byte*>(in);
            aside.assign(bytes, bytes + size_ * count_each * stored_bytes(type));
            in = aside.data();
        }
        const Wire& how = wires_->of(type);
        if (count_each > largest_) {
            for (int step = 0; step < size_; ++step) {
                const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
                exchange(at(in, to * count_each, type), to, at(out, from * count_each, type), from, count_each, type);
            }
        } else if (count_each > 0) {
            const int n = static_cast<int>(count_each);
            check(MPI_Alltoall(in, n, how.type, out, n, how.type, comm_), "MPI_Alltoall");
        }
    }

    void broadcast(void* buffer, std::int64_t count, DType type, int root) override {
        WB_EXPECT(root >= 0 && root < size_);
        const Wire& how = wires_->of(type);
        in_parts(count, [&](std::int64_t start, int part) {
            check(MPI_Bcast(at(buffer, start, type), part, how.type, root, comm_), "MPI_Bcast");
        });
    }

    void shift(const void* in, void* out, std::int64_t count, DType type) override {
        exchange(in, (rank_ + 1) % size_, out, (rank_ + size_ - 1) % size_, count, type);
    }

    std::unique_ptr<Comm> split(int colour, int key) override {
        MPI_Comm part = MPI_COMM_NULL;
        check(MPI_Comm_split(comm_, colour, key, &part), "MPI_Comm_split");
        MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN);
        const auto free = [part]() mutable { MPI_Comm_free(&part); };
        return std::make_unique<MpiGroup>(part, wires_, largest_, free);
    }

    void reduce(const void* in, void* out, std::int64_t count, DType type, int root) override {
        reduce_to(in, out, count, type, root);
    }

    std::unique_ptr<Pending> start_send(const void* in, std::int64_t count, DType type, int to) override {
        return start(count, [&](std::int64_t first, int part, MPI_Request* request) {
            check(MPI_Isend(at(in, first, type), part, wires_->of(type).type, to, pair_tag, comm_, request),
                  "MPI_Isend");
        });
    }
    std::unique_ptr<Pending> start_receive(void* out, std::int64_t count, DType type, int from) override {
        return start(count, [&](std::int64_t first, int part, MPI_Request* request) {
            check(MPI_Irecv(at(out, first, type), part, wires_->of(type).type, from, pair_tag, comm_, request),
                  "MPI_Irecv");
        });
    }
    std::unique_ptr<Pending> start_broadcast(void* buffer, std::int64_t count, DType type, int root) override {
        return start(count, [&](std::int64_t first, int part, MPI_Request* request) {
            check(MPI_Ibcast(at(buffer, first, type), part, wires_->of(type).type, root, comm_, request), "MPI_Ibcast");
        });
    }
    std::unique_ptr<Pending> start_allreduce(const void* in, void* out, std::int64_t count, DType type) override {
        return start_ordered_sum(comm_, wires_->of(type), {in, out, count, stored_bytes(type), largest_}, sums_++);
    }
    std::unique_ptr<Pending> start_barrier() override {
        return start(
            1, [&](std::int64_t, int, MPI_Request* request) { check(MPI_Ibarrier(comm_, request), "MPI_Ibarrier"); });
    }

    double max(double value) override {
        // MPI_MAX leaves open what becomes of a NaN; here one rank's NaN is everybody's.
        const bool nan = value != value;
        std::array<double, 2> both{nan ? 1.0 : 0.0, nan ? 0.0 : value};
        check(MPI_Allreduce(MPI_IN_PLACE, both.data(), 2, MPI_DOUBLE, MPI_MAX, comm_), "MPI_Allreduce");
        return both[0] > 0 ? std::numeric_limits<double>::quiet_NaN() : both[1];
    }

    std::vector<std::vector<double>> gather(std::span<const double> mine) override {
        return gather_lists<std::vector<double>>(mine, MPI_DOUBLE);
    }
    std::vector<std::string> gather(const std::string& mine) override {
        return gather_lists<std::string>(std::span<const char>(mine), MPI_CHAR);
    }
    std::vector<std::string> deliver(const std::vector<std::string>& to_each) override {
        WB_EXPECT(to_each.size() == static_cast<std::size_t>(size_));
        std::vector<std::int64_t> give, take(to_each.size());
        for (const std::string& text : to_each) give.push_back(static_cast<std::int64_t>(text.size()));
        check(MPI_Alltoall(give.data(), 1, MPI_INT64_T, take.data(), 1, MPI_INT64_T, comm_), "MPI_Alltoall");
        std::vector<std::string> got;
        for (const std::int64_t length : take) got.emplace_back(static_cast<std::size_t>(length), '\0');
        got[static_cast<std::size_t>(rank_)] = to_each[static_cast<std::size_t>(rank_)];
        std::vector<MPI_Request> requests;
        const auto each = [&](std::int64_t length, int other, const auto& start) {
            if (other == rank_) return;
            in_parts(length, [&](std::int64_t at, int part) { start(at, part, &requests.emplace_back()); });
        };
        for (int r = 0; r < size_; ++r) {
            const auto i = static_cast<std::size_t>(r);
            each(take[i], r, [&](std::int64_t at, int part, MPI_Request* q) {
                check(MPI_Irecv(got[i].data() + at, part, MPI_CHAR, r, 2, comm_, q), "MPI_Irecv");
            });
            each(give[i], r, [&](std::int64_t at, int part, MPI_Request* q) {
                check(MPI_Isend(to_each[i].data() + at, part, MPI_CHAR, r, 2, comm_, q), "MPI_Isend");
            });
        }
        check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
        return got;
    }
    std::string share(const std::string& mine) override {
        auto length = static_cast<std::int64_t>(mine.size());
        check(MPI_Bcast(&length, 1, MPI_INT64_T, 0, comm_), "MPI_Bcast");
        std::string text = rank_ == 0 ? mine : std::string(static_cast<std::size_t>(length), '\0');
        broadcast(text.data(), length, DType::int8, 0);
        return text;
    }

    [[noreturn]] void end_job(int code) override {
        MPI_Abort(MPI_COMM_WORLD, code);
        std::_Exit(code);
    }

private:
    template <class Part>
    void in_parts(std::int64_t count, const Part& part) const {
        for (std::int64_t start = 0; start < count; start += largest_)
            part(start, static_cast<int>(std::min(largest_, count - start)));
    }
    static const void* at(const void* buffer, std::int64_t element, DType type) {
        return static_cast<const std::byte*>(buffer) + element * stored_bytes(type);
    }
    static void* at(void* buffer, std::int64_t element, DType type) {
        return static_cast<std::byte*>(buffer) + element * stored_bytes(type);
    }
    static void copy(const void* in, void* out, std::int64_t count, DType type) {
        if (in != out && count > 0) std::memmove(out, in, static_cast<std::size_t>(count * stored_bytes(type)));
    }
    void exchange(const void* in, int to, void* out, int from, std::int64_t count, DType type) const {
        if (to == rank_) return copy(in, out, count, type);
        const Wire& how = wires_->of(type);
        in_parts(count, [&](std::int64_t start, int part) {
            void* target = at(out, start, type);
            const int code =
                in == out ? MPI_Sendrecv_replace(target, part, how.type, to, 0, from, 0, comm_, MPI_STATUS_IGNORE)
                          : MPI_Sendrecv(at(in, start, type), part, how.type, to, 0, target, part, how.type, from, 0,
                                         comm_, MPI_STATUS_IGNORE);
            check(code, "MPI_Sendrecv");
        });
    }

    void reduce_to(const void* in, void* out, std::int64_t count, DType type, int root) const {
        const Wire& how = wires_->of(type);
        in_parts(count, [&](std::int64_t first, int part) {
            const void* from = at(in, first, type);
            void* to = root == rank_ ? at(out, first, type) : nullptr;
            if (from == to) from = MPI_IN_PLACE;
            check(MPI_Reduce(from, to, part, how.type, how.sum, root, comm_), "MPI_Reduce");
        });
    }
    /// reduce_scatter of buffers too long for one call: each rank in turn is the root of a reduction.
    void reduce_each(const void* in, void* out, std::int64_t count_each, DType type) const {
        for (int root = 0; root < size_; ++root)
            reduce_to(at(in, root * count_each, type), out, count_each, type, root);
    }
    /// `begin(first, elements, request)` for every part of a buffer.
    template <class Begin>
    std::unique_ptr<Pending> start(std::int64_t count, const Begin& begin) const {
        auto pending = std::make_unique<MpiPending>();
        in_parts(count, [&](std::int64_t first, int part) { begin(first, part, pending->add()); });
        return pending;
    }

    template <class List, class Value>
    std::vector<List> gather_lists(std::span<const Value> mine, MPI_Datatype type) const {
        const auto length = static_cast<std::int64_t>(mine.size());
        std::vector<std::int64_t> lengths(rank_ == 0 ? static_cast<std::size_t>(size_) : 0);
        check(MPI_Gather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, 0, comm_), "MPI_Gather");
        if (rank_ != 0) {
            in_parts(length, [&](std::int64_t start, int part) {
                check(MPI_Send(mine.data() + start, part, type, 0, 1, comm_), "MPI_Send");
            });
            return {};
        }
        std::vector<List> all{List(mine.begin(), mine.end())};
        for (int r = 1; r < size_; ++r) {
            List& theirs = all.emplace_back(static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]), Value{});
            in_parts(lengths[static_cast<std::size_t>(r)], [&](std::int64_t start, int part) {
                check(MPI_Recv(theirs.data() + start, part, type, r, 1, comm_, MPI_STATUS_IGNORE), "MPI_Recv");
            });
        }
        return all;
    }

    MPI_Comm comm_;
    std::shared_ptr<const Wires> wires_;
    int rank_ = 0, size_ = 1;
    std::int64_t largest_;
    int sums_ = 0;  ///< started: each has tags of its own
    std::function<void()> at_end_;
};

}  // namespace

std::unique_ptr<Comm> mpi_group(MPI_Comm comm, std::shared_ptr<const Wires> wires, std::int64_t largest_count,
                                std::function<void()> at_end) {
    return std::make_unique<MpiGroup>(comm, std::move(wires), largest_count, std::move(at_end));
}

}  // namespace wb
#endif
