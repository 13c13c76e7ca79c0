#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/collectives.hpp"
#include "kernels/cuda/kernels.hpp"

namespace wb::cuda {
namespace {

/// Sums that MPI makes of device memory; those of 16 bits it would make by a function of ours, on the host.
bool adds(DType type) {
    return type == DType::f32 || type == DType::tf32 || type == DType::f64 || type == DType::int32;
}

class Direct final : public Collectives {
public:
    explicit Direct(Comm& comm) : comm_(comm) {}

    void run(CollectiveKind kind, const void* in, void* out, std::int64_t n, DType type, Stream stream) override {
        const std::int64_t ranks = comm_.size();
        wait_for(stream);  // messages know nothing of queues
        switch (kind) {
            case CollectiveKind::allreduce:
                if (adds(type)) return comm_.allreduce(in, out, n, type);
                return sum_everywhere(in, out, n, type, stream);
            case CollectiveKind::allgather: return comm_.allgather(in, out, n, type);
            case CollectiveKind::reduce_scatter:
                if (adds(type)) return comm_.reduce_scatter(in, out, n / ranks, type);
                return sum_of_mine(in, out, n / ranks, type, stream);
            case CollectiveKind::alltoall: return comm_.alltoall(in, out, n / ranks, type);
            case CollectiveKind::send_recv: return comm_.shift(in, out, n, type);
            case CollectiveKind::broadcast:
                if (comm_.rank() == 0) copy_on_device(out, in, n * stored_bytes(type), stream);
                wait_for(stream);
                return comm_.broadcast(out, n, type, 0);
            case CollectiveKind::none: return copy_on_device(out, in, n * stored_bytes(type), stream);
        }
    }
    std::string library() const override { return comm_.library(); }

private:
    /// Every rank gets its block of all ranks' values and adds them here, in f32 and in the order of ranks, so that a
    /// sum is rounded once and is the same wherever it is made.
    void sum_of_mine(const void* in, void* out, std::int64_t each, DType type, Stream stream) {
        if (!is_unit_type(type))
            throw Error({"a sum over ranks", "there is none of " + std::string(name(type)) + " in device memory", "",
                         "Use f32, bf16 or f16."},
                        Exit::failed);
        const Matrix blocks{comm_.size(), each};
        std::byte* const received = room(received_, blocks.size() * stored_bytes(type));
        auto* const scratch =
            reinterpret_cast<float*>(room(scratch_, column_scratch(blocks) * static_cast<std::int64_t>(sizeof(float))));
        comm_.alltoall(in, received, each, type);
        sum_rows(stream, type, received, out, scratch, blocks);
    }
    void sum_everywhere(const void* in, void* out, std::int64_t n, DType type, Stream stream) {
        constexpr std::int64_t whole_packs = 8;  // 16 bytes
        const std::int64_t ranks = comm_.size(), bytes = stored_bytes(type), granule = ranks * whole_packs;
        const std::int64_t each = (n + granule - 1) / granule * whole_packs, padded = ranks * each;
        std::byte *to = static_cast<std::byte*>(out), *const sum = room(sum_, each * bytes);
        if (padded > n) {
            to = room(padded_, padded * bytes);
            copy_on_device(to, in, n * bytes, stream);
            set_bytes(to + n * bytes, 0, (padded - n) * bytes, stream);
            wait_for(stream);
            in = to;
        }
        sum_of_mine(in, sum, each, type, stream);
        wait_for(stream);
        comm_.allgather(sum, to, each, type);
        if (padded > n) copy_on_device(out, to, n * bytes, stream);
    }
    static std::byte* room(Memory& memory, std::int64_t bytes) {
        if (memory.bytes() < bytes) memory = Memory(bytes);
        return memory.data();
    }

    Comm& comm_;
    Memory received_, scratch_, sum_, padded_;  // as large as the largest message so far
};

}  // namespace

std::unique_ptr<Collectives> make_direct(Comm& comm) { return std::make_unique<Direct>(comm); }

}  // namespace wb::cuda
