#pragma once

#include <algorithm>
#include <vector>

#include "models/attention_laws.hpp"
#include "models/fabric/programs/tile.hpp"

namespace wb::fabric {

/// Which positions of a sequence lie in which slots of a mesh row, and who sees whom: slot s of row r holds key
/// s x rows + r, and the query at position (s + shift) x rows + r of the keys.
class Stripes {
public:
    Stripes(const Attributes& a, const AttentionPlan& p) : a_(&a), p_(&p) {}

    std::int64_t key(int row, std::int64_t slot) const { return slot * p_->rows + row; }
    bool is_key(int row, std::int64_t slot) const { return key(row, slot) < a_->seq_kv; }
    /// Index of a query in its sequence.
    std::int64_t query(int row, std::int64_t slot) const { return (slot + p_->shift) * p_->rows + row - ahead(); }
    /// The slots of a row that hold a query.
    Range queries(int row) const { return between(slot_of(row, 0), slot_of(row, a_->seq)); }
    /// Those of a row whose query sees this key.
    Range seeing(int row, int key_row, std::int64_t key_slot) const {
        if (!is_key(key_row, key_slot)) return {};
        const std::int64_t first = key(key_row, key_slot) - ahead();  // query at the position of the key
        const Range all = queries(row);
        const bool ordered = a_->causal || a_->window > 0;
        const std::int64_t from = ordered ? std::max(all.first, slot_of(row, first)) : all.first;
        const std::int64_t end = all.first + all.count;
        return between(from, a_->window > 0 ? std::min(end, slot_of(row, first + a_->window)) : end);
    }

private:
    std::int64_t ahead() const { return a_->seq_kv - a_->seq; }
    /// The first slot of the row that holds query `index` or a later one.
    std::int64_t slot_of(int row, std::int64_t index) const {
        const std::int64_t n = index + ahead() - row, rows = p_->rows;
        return (n >= 0 ? (n + rows - 1) / rows : -(-n / rows)) - p_->shift;
    }
    static Range between(std::int64_t first, std::int64_t end) {
        return {first, std::max<std::int64_t>(0, end - first)};
    }

    const Attributes* a_;
    const AttentionPlan* p_;
};

inline Range common(Range a, Range b) {
    const std::int64_t first = std::max(a.first, b.first);
    return {first, std::max<std::int64_t>(0, std::min(a.first + a.count, b.first + b.count) - first)};
}

/// The scores of a chunk of query slots with one block of keys, packed: for each key slot those of the queries that may
/// see it, all heads that share the key side by side. The same for all pairs of rows.
struct ScoreBlock {
    struct Run {
        std::int64_t key;          ///< slot
        std::size_t first, count;  ///< queries: slot of the chunk x shared heads
        std::size_t at;            ///< of the first of them in the block
    };
    std::vector<Run> runs;
    std::size_t size = 0;

    ScoreBlock(const Attributes& a, const AttentionPlan& p, Range slots) {
        const auto shared = static_cast<std::size_t>(p.shared);
        for (std::int64_t key = 0; key < p.keys; ++key) {
            const SlotRange seen = visible_slots(a, p, key);
            const Range r = common({seen.first, seen.count}, slots);
            if (r.count == 0) continue;
            const auto first = static_cast<std::size_t>(r.first - slots.first),
                       count = static_cast<std::size_t>(r.count);
            runs.push_back({key, first * shared, count * shared, size});
            size += count * shared;
        }
    }
};

}  // namespace wb::fabric
