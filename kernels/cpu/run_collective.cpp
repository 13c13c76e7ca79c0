#include <cstring>

#include "core/element.hpp"
#include "kernels/cpu/runner.hpp"

namespace wb::cpu {

Runner make_collective(const Site& site) {
    const std::int64_t n = elements(site.in(0).shape), ranks = site.a().ranks;
    const DType type = site.in(0).dtype;
    const auto bytes = static_cast<std::size_t>(n * stored_bytes(type));
    Comm* const comm = &site.setup.comm;
    switch (site.a().collective) {
        case CollectiveKind::allreduce: return {[=](Operands p) { comm->allreduce(p[0], p[1], n, type); }, {}};
        case CollectiveKind::allgather: return {[=](Operands p) { comm->allgather(p[0], p[1], n, type); }, {}};
        case CollectiveKind::reduce_scatter:
            return {[=](Operands p) { comm->reduce_scatter(p[0], p[1], n / ranks, type); }, {}};
        case CollectiveKind::alltoall: return {[=](Operands p) { comm->alltoall(p[0], p[1], n / ranks, type); }, {}};
        case CollectiveKind::broadcast:
            return {[=](Operands p) {
                        if (comm->rank() == 0) std::memcpy(p[1], p[0], bytes);
                        comm->broadcast(p[1], n, type, 0);
                    },
                    {}};
        case CollectiveKind::send_recv: return {[=](Operands p) { comm->shift(p[0], p[1], n, type); }, {}};
        case CollectiveKind::none: return {[=](Operands p) { std::memcpy(p[1], p[0], bytes); }, {}};
    }
    contract_failed("every collective is known", __FILE__, __LINE__);
}

}  // namespace wb::cpu
