#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.hpp"

namespace wb {

/// A message or broadcast under way. Its buffers stay as they are until it is finished; it moves on while its rank is
/// inside a call of this library only, so whoever computes meanwhile calls test() now and then.
class Pending {
public:
    /// Waits, should nobody have.
    virtual ~Pending() = default;
    /// Whether it is finished. Never waits.
    virtual bool test() = 0;
    virtual void wait() = 0;
};

/// The ranks that run a case together. Every call is collective: all ranks make it, in the same order.
/// Buffers hold `count` elements of `type`; sums are of the real values (16-bit types are summed in f32).
class Comm {
public:
    virtual ~Comm() = default;
    virtual int rank() const = 0;
    virtual int size() const = 0;
    virtual std::string library() const = 0;  ///< "Open MPI 4.1.4", "single process"
    /// Whether buffers of the collectives below may lie in a GPU's memory; of sums, those of f32, f64 and int32.
    virtual bool takes_device_memory() const { return false; }

    virtual void barrier() = 0;
    virtual void allreduce(const void* in, void* out, std::int64_t count, DType type) = 0;
    virtual void allgather(const void* in, void* out, std::int64_t count_each, DType type) = 0;
    virtual void reduce_scatter(const void* in, void* out, std::int64_t count_each, DType type) = 0;
    virtual void alltoall(const void* in, void* out, std::int64_t count_each, DType type) = 0;
    virtual void broadcast(void* buffer, std::int64_t count, DType type, int root) = 0;
    /// Sends to the next rank of the ring and receives from the one before.
    virtual void shift(const void* in, void* out, std::int64_t count, DType type) = 0;

    /// Ranks of one colour, ordered by `key`, as ranks of their own. Collective over this, which must outlive it.
    /// Throws Error, as the calls below do, where ranks of this kind form no groups.
    virtual std::unique_ptr<Comm> split(int colour, int key);
    /// The sum on `root` alone; `out` is not touched elsewhere.
    virtual void reduce(const void* in, void* out, std::int64_t count, DType type, int root);
    /// Both sides of a message between two ranks: not collective. Messages between the same two arrive in order.
    virtual std::unique_ptr<Pending> start_send(const void* in, std::int64_t count, DType type, int to);
    virtual std::unique_ptr<Pending> start_receive(void* out, std::int64_t count, DType type, int from);
    /// Collective; all ranks start theirs in the same order.
    virtual std::unique_ptr<Pending> start_broadcast(void* buffer, std::int64_t count, DType type, int root);
    /// The sum on all ranks; `in` == `out` or apart. Collective; all ranks start theirs, and wait for them, in the
    /// same order. The bits of an element depend on its summands alone, not on how a buffer is cut into sums. Ranks
    /// that cannot start one take the blocking sum, and return it finished.
    virtual std::unique_ptr<Pending> start_allreduce(const void* in, void* out, std::int64_t count, DType type);
    /// Finished when all ranks have started theirs.
    virtual std::unique_ptr<Pending> start_barrier();

    /// The largest value of any rank.
    virtual double max(double value) = 0;
    /// True on all ranks only if true on every rank.
    bool all(bool mine) { return max(mine ? 0.0 : 1.0) == 0.0; }
    /// Every rank's values, rank by rank, on rank 0; empty elsewhere. Lengths may differ.
    virtual std::vector<std::vector<double>> gather(std::span<const double> mine) = 0;
    /// Every rank's text on rank 0; empty elsewhere.
    virtual std::vector<std::string> gather(const std::string& mine) = 0;
    /// Bytes for each rank, its own included; lengths may differ; returns what each rank had for this one.
    virtual std::vector<std::string> deliver(const std::vector<std::string>& to_each) = 0;
    /// Rank 0's text on all ranks.
    virtual std::string share(const std::string& mine) = 0;
    /// Ends the whole job at once; for a rank that can no longer take part.
    [[noreturn]] virtual void end_job(int code) = 0;
};

/// One process: every collective is a copy.
std::unique_ptr<Comm> single_process();

}  // namespace wb
