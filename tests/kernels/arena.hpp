#pragma once

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/element.hpp"
#include "core/memory_plan.hpp"

namespace wb {

/// Walks a graph as a backend would and writes into every 64-byte cell of the arena whose value lies there.
class Arena {
public:
    explicit Arena(const Graph& g, FusedOps fused = {})
        : g_(g),
          fused_(std::move(fused)),
          plan_(plan_memory(g, cell, fused_)),
          cells_(plan_.arena_bytes / cell, {TensorId{-1}, 0}) {}

    /// The name of the first value that was overwritten before its last use, or nothing.
    std::string first_lost() {
        for (const Block& block : g_.blocks())
            for (std::int64_t k = 0; k < block.repeat; ++k)
                for (int i = block.first; i < block.last; ++i) {
                    const std::int64_t iteration = block.reversed ? block.repeat - 1 - k : k;
                    const std::vector<int> together = fused_.computed_at(i);
                    for (int at : together)
                        for (TensorId id : g_.ops()[at].out)
                            if (!fused_.is_absent(id)) write(locate(g_, id, iteration));
                    for (int at : together)
                        for (TensorId id : g_.ops()[at].in)  // after the outputs: they must not lie over what is read
                            if (!fused_.is_absent(id) && !holds(locate(g_, id, iteration)))
                                return g_.ops()[at].name + " reads " + g_.tensor(id).name;
                }
        for (std::size_t t = 0; t < g_.tensors().size(); ++t)
            for (std::int64_t k = 0; g_.tensors()[t].role == Role::output && k < g_.instances(tensor_id(t)); ++k)
                if (!holds(locate(g_, tensor_id(t), k))) return "output " + g_.tensors()[t].name;
        return "";
    }

private:
    static constexpr std::int64_t cell = 64;

    template <class Visit>
    void visit(const Location& at, const Visit& see) {
        const MemoryPlan::Place& p = plan_.places[index(at.tensor)];
        REQUIRE(p.stored);
        const std::int64_t bytes = g_.elements(at.tensor) * stored_bytes(g_.tensor(at.tensor).dtype);
        REQUIRE(bytes <= p.stride);
        if (!p.in_arena) {
            REQUIRE(p.slots == g_.instances(at.tensor));
            return;
        }
        const std::int64_t first = (p.offset + at.instance % p.slots * p.stride) / cell;
        for (std::int64_t i = first; i < first + p.stride / cell; ++i) see(cells_.at(i));
    }
    void write(const Location& at) {
        visit(at, [&](Location& there) { there = at; });
    }
    bool holds(const Location& at) {
        bool all = true;
        visit(at,
              [&](const Location& there) { all = all && there.tensor == at.tensor && there.instance == at.instance; });
        return all;
    }

    const Graph& g_;
    const FusedOps fused_;
    MemoryPlan plan_;
    std::vector<Location> cells_;
};

}  // namespace wb
