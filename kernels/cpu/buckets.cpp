#include "kernels/cpu/buckets.hpp"

#include <cstring>

#include "core/element.hpp"

namespace wb::cpu {
namespace {

constexpr std::size_t full = std::size_t{25} << 20;  // the default of PyTorch's DistributedDataParallel

}  // namespace

void Buckets::add(const std::byte* from, std::int64_t count, DType type) {
    const std::int64_t bytes = count * stored_bytes(type);
    if (buckets_.empty() || buckets_.back().type != type || buckets_.back().memory.size() >= full)
        buckets_.push_back({type, {}});
    std::vector<std::byte>& memory = buckets_.back().memory;
    items_.push_back({from, bytes, static_cast<std::int64_t>(memory.size()), buckets_.size() - 1});
    memory.resize(memory.size() + static_cast<std::size_t>(bytes));
}

void Buckets::fetch(Comm& comm, std::byte* to) {
    if (next_ == 0) {
        for (const Item& i : items_)
            std::memcpy(buckets_[i.bucket].memory.data() + i.offset, i.from, static_cast<std::size_t>(i.bytes));
        for (Bucket& b : buckets_)
            comm.allreduce(b.memory.data(), b.memory.data(),
                           static_cast<std::int64_t>(b.memory.size()) / stored_bytes(b.type), b.type);
    }
    const Item& mine = items_.at(next_);
    std::memcpy(to, buckets_[mine.bucket].memory.data() + mine.offset, static_cast<std::size_t>(mine.bytes));
    next_ = next_ + 1 == items_.size() ? 0 : next_ + 1;
}

}  // namespace wb::cpu
