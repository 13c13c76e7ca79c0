#include <nccl.h>

#include <cstring>

#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/collectives.hpp"
#include "kernels/cuda/library.hpp"

namespace wb::cuda {
namespace {

/// What is called of NCCL.
struct Calls {
    explicit Calls(const Library& file)
        : get_unique_id(file.find<decltype(&::ncclGetUniqueId)>("ncclGetUniqueId")),
          comm_init_rank(file.find<decltype(&::ncclCommInitRank)>("ncclCommInitRank")),
          comm_destroy(file.find<decltype(&::ncclCommDestroy)>("ncclCommDestroy")),
          all_reduce(file.find<decltype(&::ncclAllReduce)>("ncclAllReduce")),
          all_gather(file.find<decltype(&::ncclAllGather)>("ncclAllGather")),
          reduce_scatter(file.find<decltype(&::ncclReduceScatter)>("ncclReduceScatter")),
          broadcast(file.find<decltype(&::ncclBroadcast)>("ncclBroadcast")),
          get_version(file.find<decltype(&::ncclGetVersion)>("ncclGetVersion")),
          group_start(file.find<decltype(&::ncclGroupStart)>("ncclGroupStart")),
          group_end(file.find<decltype(&::ncclGroupEnd)>("ncclGroupEnd")),
          send(file.find<decltype(&::ncclSend)>("ncclSend")),
          recv(file.find<decltype(&::ncclRecv)>("ncclRecv")),
          get_error_string(file.find<decltype(&::ncclGetErrorString)>("ncclGetErrorString")) {}
    decltype(&::ncclGetUniqueId) get_unique_id;
    decltype(&::ncclCommInitRank) comm_init_rank;
    decltype(&::ncclCommDestroy) comm_destroy;
    decltype(&::ncclAllReduce) all_reduce;
    decltype(&::ncclAllGather) all_gather;
    decltype(&::ncclReduceScatter) reduce_scatter;
    decltype(&::ncclBroadcast) broadcast;
    decltype(&::ncclGetVersion) get_version;
    decltype(&::ncclGroupStart) group_start;
    decltype(&::ncclGroupEnd) group_end;
    decltype(&::ncclSend) send;
    decltype(&::ncclRecv) recv;
    decltype(&::ncclGetErrorString) get_error_string;
};
const Library& file() {
    static const Library library("libnccl.so." + std::to_string(NCCL_MAJOR), WB_CUDA_LIBRARIES);
    return library;
}
const Calls& nccl() {
    static const Calls calls(file());
    return calls;
}

void check(ncclResult_t code, const char* what) {
    if (code == ncclSuccess) return;
    throw Error({what, nccl().get_error_string(code), "a call of NCCL failed", ""}, Exit::failed);
}

ncclDataType_t type_of(DType type) {
    switch (type) {
        case DType::f64: return ncclDouble;
        case DType::f32:
        case DType::tf32: return ncclFloat;
        case DType::bf16: return ncclBfloat16;
        case DType::f16: return ncclHalf;
        case DType::int32: return ncclInt32;
        case DType::int8: return ncclInt8;
        default: throw Error({"a collective", "NCCL adds no " + std::string(name(type)), "", ""});
    }
}

class Nccl final : public Collectives {
public:
    explicit Nccl(Comm& comm) : rank_(comm.rank()), ranks_(comm.size()) {
        ncclUniqueId id{};
        if (rank_ == 0) check(nccl().get_unique_id(&id), "meeting of the ranks");
        const std::string shared = comm.share(std::string(id.internal, sizeof id.internal));
        std::memcpy(id.internal, shared.data(), sizeof id.internal);
        check(nccl().comm_init_rank(&comm_, ranks_, id, rank_), "meeting of the ranks");
    }
    ~Nccl() override {
        if (comm_) nccl().comm_destroy(comm_);
    }
    Nccl(const Nccl&) = delete;
    Nccl& operator=(const Nccl&) = delete;

    void run(CollectiveKind kind, const void* in, void* out, std::int64_t n, DType type, Stream stream) override {
        const auto count = static_cast<std::size_t>(n), each = count / static_cast<std::size_t>(ranks_);
        const ncclDataType_t t = type_of(type);
        switch (kind) {
            case CollectiveKind::allreduce:
                return check(nccl().all_reduce(in, out, count, t, ncclSum, comm_, stream), "allreduce");
            case CollectiveKind::allgather:
                return check(nccl().all_gather(in, out, count, t, comm_, stream), "allgather");
            case CollectiveKind::reduce_scatter:
                return check(nccl().reduce_scatter(in, out, each, t, ncclSum, comm_, stream), "reduce_scatter");
            case CollectiveKind::broadcast:
                return check(nccl().broadcast(in, out, count, t, 0, comm_, stream), "broadcast");
            case CollectiveKind::alltoall: return alltoall(in, out, each, type, stream);
            case CollectiveKind::send_recv: return shift(in, out, count, t, stream);
            case CollectiveKind::none: return copy_on_device(out, in, n * stored_bytes(type), stream);
        }
    }
    std::string library() const override {
        int version = 0;
        check(nccl().get_version(&version), "the version of NCCL");
        return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
               std::to_string(version % 100);
    }

private:
    void alltoall(const void* in, void* out, std::size_t each, DType type, Stream stream) const {
        const std::size_t bytes = each * static_cast<std::size_t>(stored_bytes(type));
        check(nccl().group_start(), "alltoall");
        for (int r = 0; r < ranks_; ++r) {
            const std::size_t at = static_cast<std::size_t>(r) * bytes;
            check(nccl().send(static_cast<const std::byte*>(in) + at, each, type_of(type), r, comm_, stream),
                  "alltoall");
            check(nccl().recv(static_cast<std::byte*>(out) + at, each, type_of(type), r, comm_, stream), "alltoall");
        }
        check(nccl().group_end(), "alltoall");
    }
    void shift(const void* in, void* out, std::size_t count, ncclDataType_t type, Stream stream) const {
        check(nccl().group_start(), "send and receive");
        check(nccl().send(in, count, type, (rank_ + 1) % ranks_, comm_, stream), "send");
        check(nccl().recv(out, count, type, (rank_ + ranks_ - 1) % ranks_, comm_, stream), "receive");
        check(nccl().group_end(), "send and receive");
    }

    int rank_, ranks_;
    ncclComm_t comm_ = nullptr;
};

/// One rank has nobody to meet.
class Alone final : public Collectives {
public:
    void run(CollectiveKind, const void* in, void* out, std::int64_t n, DType type, Stream stream) override {
        copy_on_device(out, in, n * stored_bytes(type), stream);
    }
    std::string library() const override { return "one device"; }
};

}  // namespace

std::unique_ptr<Collectives> make_collectives(Comm& comm) {
    if (comm.size() == 1) return std::make_unique<Alone>();
    return std::make_unique<Nccl>(comm);
}
std::string no_collectives() { return file().found() ? "" : "several devices need NCCL: " + file().why_not(); }

}  // namespace wb::cuda
