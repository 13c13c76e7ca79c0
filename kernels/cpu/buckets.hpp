#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/comm.hpp"
#include "core/quantity.hpp"

namespace wb::cpu {

/// Gradients summed over the ranks in few large messages instead of many small ones (Li et al., "PyTorch Distributed",
/// VLDB 2020).
class Buckets {
public:
    /// Before the first run: the next gradient, in the order fetch() will ask for them. `from` must stay where it is.
    void add(const std::byte* from, std::int64_t count, DType type);
    /// The next gradient's sum; the first call of a run sums all of them.
    void fetch(Comm& comm, std::byte* to);

private:
    struct Item {
        const std::byte* from;
        std::int64_t bytes, offset;
        std::size_t bucket;
    };
    struct Bucket {
        DType type;
        std::vector<std::byte> memory;
    };
    std::vector<Item> items_;
    std::vector<Bucket> buckets_;
    std::size_t next_ = 0;
};

}  // namespace wb::cpu
