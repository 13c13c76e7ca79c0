#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "core/backend.hpp"
#include "core/storage.hpp"

namespace wb {

/// Tokens and checkpoints in memory, for ranks that hold whole tensors.
class MemoryStorage final : public Storage {
public:
    Dataset data{"counting", "1", 256, 4000, 400, "memory"};
    std::int32_t bad_id = -1;  ///< stands for every 97th token
    std::map<std::int64_t, std::map<std::string, std::vector<std::byte>>> saved;
    std::map<std::int64_t, Snapshot> snapshots;

    const Dataset* dataset() const override { return &data; }
    void read_tokens(Split split, std::int64_t first, std::span<std::int32_t> to) override {
        for (std::size_t i = 0; i < to.size(); ++i) {
            const std::int64_t at = first + static_cast<std::int64_t>(i) + (split == Split::held_out ? 7 : 0);
            to[i] = bad_id >= 0 && at % 97 == 96 ? bad_id : static_cast<std::int32_t>(at * at % 11);
        }
    }
    std::int64_t save(const Snapshot& snapshot, std::span<const StoredPiece> pieces) override {
        snapshots[snapshot.step] = snapshot;
        for (const StoredPiece& p : pieces)
            saved[snapshot.step][p.name].assign(p.data, p.data + p.instances * p.stride);
        return 1;
    }
    std::optional<Snapshot> newest() override {
        if (snapshots.empty()) return {};
        return snapshots.rbegin()->second;
    }
    std::int64_t restore(std::int64_t step, std::span<const StoredPiece> pieces) override {
        for (const StoredPiece& p : pieces) {
            const std::vector<std::byte>& from = saved.at(step).at(p.name);
            std::copy(from.begin(), from.end(), p.data);
        }
        return 1;
    }
};

/// By step, then the held-out one.
inline std::vector<double> losses(const ResourceUse& use) {
    REQUIRE(use.series.size() == 2);
    std::vector<double> out = use.series[0].values;
    out.push_back(use.series[1].values.at(0));
    return out;
}

}  // namespace wb
