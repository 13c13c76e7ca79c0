#pragma once

#include <cstdint>
#include <vector>

namespace wb::cpu {

/// How rows of tokens are laid out for the experts: by expert, and within an expert by (token, slot).
class ExpertRows {
public:
    ExpertRows(std::int64_t entries, std::int64_t experts) : source(entries), first(experts + 1) {}

    /// Sorts the entries of an index tensor [tokens, topk] by counting; allocates nothing.
    void sort(const std::int32_t* index) {
        for (std::int64_t& f : first) f = 0;
        const auto entries = static_cast<std::int64_t>(source.size());
        for (std::int64_t i = 0; i < entries; ++i) ++first[index[i]];
        std::int64_t at = 0;
        for (std::int64_t& f : first) {
            const std::int64_t count = f;
            f = at;
            at += count;
        }
        for (std::int64_t i = 0; i < entries; ++i) source[first[index[i]]++] = i;
        for (std::size_t e = first.size() - 1; e > 0; --e) first[e] = first[e - 1];
        first[0] = 0;
    }

    std::vector<std::int64_t> source;  ///< by row: token * topk + slot
    std::vector<std::int64_t> first;   ///< the rows of expert e are [first[e], first[e + 1])
};

}  // namespace wb::cpu
