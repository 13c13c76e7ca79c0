#include "kernels/cuda/collectives.hpp"

#include <cstring>

#include "core/element.hpp"

namespace wb::cuda {
namespace {

/// "Device" memory is the host's here, so the ranks' own messages do.
class HostCollectives final : public Collectives {
public:
    explicit HostCollectives(Comm& comm) : comm_(comm) {}
    void run(CollectiveKind kind, const void* in, void* out, std::int64_t n, DType type, Stream) override {
        const std::int64_t ranks = comm_.size();
        switch (kind) {
            case CollectiveKind::allreduce: return comm_.allreduce(in, out, n, type);
            case CollectiveKind::allgather: return comm_.allgather(in, out, n, type);
            case CollectiveKind::reduce_scatter: return comm_.reduce_scatter(in, out, n / ranks, type);
            case CollectiveKind::alltoall: return comm_.alltoall(in, out, n / ranks, type);
            case CollectiveKind::send_recv: return comm_.shift(in, out, n, type);
            case CollectiveKind::broadcast:
                if (comm_.rank() == 0) std::memcpy(out, in, static_cast<std::size_t>(n * stored_bytes(type)));
                return comm_.broadcast(out, n, type, 0);
            case CollectiveKind::none: std::memcpy(out, in, static_cast<std::size_t>(n * stored_bytes(type)));
        }
    }
    std::string library() const override { return comm_.library(); }

private:
    Comm& comm_;
};

}  // namespace

std::unique_ptr<Collectives> make_collectives(Comm& comm) { return std::make_unique<HostCollectives>(comm); }
std::string no_collectives() { return {}; }

}  // namespace wb::cuda
