#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/collectives.hpp"

namespace wb::cuda {
namespace {

class Direct final : public Collectives {
public:
    explicit Direct(Comm& comm) : comm_(comm) {}

    void run(CollectiveKind kind, const void* in, void* out, std::int64_t n, DType type, Stream stream) override {
        const std::int64_t ranks = comm_.size();
        wait_for(stream);  // messages know nothing of queues
        switch (kind) {
            case CollectiveKind::allreduce: return comm_.allreduce(in, out, n, summed(type));
            case CollectiveKind::allgather: return comm_.allgather(in, out, n, type);
            case CollectiveKind::reduce_scatter: return comm_.reduce_scatter(in, out, n / ranks, summed(type));
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
    /// Sums of other types are a function of ours, which runs on the host.
    DType summed(DType type) const {
        if (type == DType::f32 || type == DType::tf32 || type == DType::f64 || type == DType::int32) return type;
        if (!comm_.takes_device_memory()) return type;  // "device" memory is the host's
        throw Error({"a sum over ranks", "MPI adds no " + std::string(name(type)) + " in device memory", "",
                     "Use f32, or NCCL."},
                    Exit::failed);
    }

    Comm& comm_;
};

}  // namespace

std::unique_ptr<Collectives> make_direct(Comm& comm) { return std::make_unique<Direct>(comm); }

}  // namespace wb::cuda
