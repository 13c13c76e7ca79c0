#ifdef WB_HAVE_MPI
#include "harness/mpi_sum.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/partition.hpp"

namespace wb {
namespace {

constexpr int first_tag = 16, tags = 8192;  // MPI promises 32767

class OrderedSum final : public Pending {
public:
    OrderedSum(MPI_Comm comm, const Wire& wire, const SumBuffers& b, int number)
        : comm_(comm), wire_(wire), b_(b), tag_(first_tag + number % tags * 2) {
        check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
        mine_ = share(rank_);
        staging_.reset(new std::byte[static_cast<std::size_t>(mine_.count * b_.size * (size_ - 1))]);  // not cleared
        for (int r = 0; r < size_; ++r)
            if (r != rank_) receive(staged(r), mine_.count, r, tag_, summands_);
        if (b_.in != b_.out) receive_sums();
        for (int r = 0; r < size_; ++r)
            if (r != rank_) send(at(b_.in, share(r).first), share(r).count, r, tag_, summands_);
    }
    OrderedSum(const OrderedSum&) = delete;
    OrderedSum& operator=(const OrderedSum&) = delete;
    ~OrderedSum() override {
        if (!done_) finish(false);
    }

    bool test() override {
        if (!added_ && done(summands_)) add();
        if (added_ && !done_) done_ = done(sums_);
        return done_;
    }
    void wait() override {
        if (!done_) finish(true);
    }

private:
    Range share(int r) const { return shard(b_.count, r, size_); }
    const std::byte* at(const void* p, std::int64_t i) const { return static_cast<const std::byte*>(p) + i * b_.size; }
    std::byte* at(void* p, std::int64_t i) const { return static_cast<std::byte*>(p) + i * b_.size; }
    /// What rank r sent of this rank's share.
    std::byte* staged(int r) { return staging_.get() + (r - (r > rank_ ? 1 : 0)) * mine_.count * b_.size; }

    static bool done(std::vector<MPI_Request>& requests) {
        int flag = 0;
        check(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, MPI_STATUSES_IGNORE),
              "MPI_Testall");
        return flag != 0;
    }
    static int wait_for(std::vector<MPI_Request>& requests) {
        return MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
    }
    /// `throws`: whether an error may leave.
    void finish(bool throws) {
        done_ = true;
        int code = wait_for(summands_);
        if (code == MPI_SUCCESS && !added_) add();
        if (code == MPI_SUCCESS) code = wait_for(sums_);
        if (throws) check(code, "MPI_Waitall");
    }

    template <class Part>
    void in_parts(std::int64_t count, const Part& part) const {
        for (std::int64_t i = 0; i < count; i += b_.largest_count)
            part(i, static_cast<int>(std::min(b_.largest_count, count - i)));
    }
    void receive(std::byte* to, std::int64_t count, int from, int tag, std::vector<MPI_Request>& into) {
        in_parts(count, [&](std::int64_t i, int n) {
            check(MPI_Irecv(to + i * b_.size, n, wire_.type, from, tag, comm_, &into.emplace_back(MPI_REQUEST_NULL)),
                  "MPI_Irecv");
        });
    }
    void send(const std::byte* from, std::int64_t count, int to, int tag, std::vector<MPI_Request>& into) {
        in_parts(count, [&](std::int64_t i, int n) {
            check(MPI_Isend(from + i * b_.size, n, wire_.type, to, tag, comm_, &into.emplace_back(MPI_REQUEST_NULL)),
                  "MPI_Isend");
        });
    }
    void receive_sums() {
        for (int r = 0; r < size_; ++r)
            if (r != rank_) receive(at(b_.out, share(r).first), share(r).count, r, tag_ + 1, sums_);
    }
    /// to = from + to.
    void add_to(const std::byte* from, std::byte* to) const {
        in_parts(mine_.count, [&](std::int64_t i, int n) {
            check(MPI_Reduce_local(from + i * b_.size, to + i * b_.size, n, wire_.type, wire_.sum), "MPI_Reduce_local");
        });
    }
    /// This rank's share: rank 0's part, and those of ranks 1, 2, ... one by one.
    void add() {
        added_ = true;
        if (b_.in == b_.out) receive_sums();  // not before its summands have left
        const auto bytes = static_cast<std::size_t>(mine_.count * b_.size);
        const std::byte* own = at(b_.in, mine_.first);
        std::byte* const sum = at(b_.out, mine_.first);
        if (size_ == 2 || rank_ == 0) {
            if (own != sum && bytes > 0) std::memcpy(sum, own, bytes);
            for (int r = 0; r < size_; ++r)
                if (r != rank_) add_to(staged(r), sum);
        } else {
            for (int r = 1; r < size_; ++r) add_to(r == rank_ ? own : staged(r), staged(0));
            if (bytes > 0) std::memcpy(sum, staged(0), bytes);
        }
        for (int r = 0; r < size_; ++r)
            if (r != rank_) send(sum, mine_.count, r, tag_ + 1, sums_);
    }

    MPI_Comm comm_;
    const Wire& wire_;
    SumBuffers b_;
    int tag_, rank_ = 0, size_ = 1;
    Range mine_{0, 0};
    std::unique_ptr<std::byte[]> staging_;
    std::vector<MPI_Request> summands_, sums_;
    bool added_ = false, done_ = false;
};

}  // namespace

std::unique_ptr<Pending> start_ordered_sum(MPI_Comm comm, const Wire& wire, const SumBuffers& buffers, int number) {
    return std::make_unique<OrderedSum>(comm, wire, buffers, number);
}

}  // namespace wb
#endif
