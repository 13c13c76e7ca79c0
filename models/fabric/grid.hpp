#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/fabric/node.hpp"
#include "models/fabric/word.hpp"
#include "models/fabric/yield_map.hpp"

namespace wb::fabric {

/// All PEs of the mesh, with their routers in words of 64.
class Grid {
public:
    Grid(const Machine& machine, int rows, int columns);  ///< of the mesh with its spares

    int rows() const { return rows_; }
    int columns() const { return columns_; }
    std::size_t index(const Node& n) const { return static_cast<std::size_t>(&n - nodes_.get()); }
    std::size_t nodes() const { return static_cast<std::size_t>(rows_) * static_cast<std::size_t>(columns_); }
    Node& node(std::size_t i) const { return nodes_[i]; }
    Node& node(int row, int column) const {
        return nodes_[static_cast<std::size_t>(row) * static_cast<std::size_t>(columns_) +
                      static_cast<std::size_t>(column)];
    }
    std::size_t words() const { return words_.size(); }
    std::size_t words_per_row() const { return words_.size() / static_cast<std::size_t>(rows_); }
    Word& word(std::size_t i) { return words_[i]; }
    Word& word(int row, int column) { return words_[word_index(row, column)]; }
    const Word& word(int row, int column) const { return words_[word_index(row, column)]; }
    /// By word, for even and odd cycles.
    std::uint8_t* awake(std::uint64_t cycle) { return awake_[cycle & 1].data(); }
    std::uint8_t* arriving() { return arriving_.data(); }

    /// After set-up: lets rows and columns that are left out pass on what crosses them. Throws if a colour crosses
    /// both ways at one place.
    void bridge(const Placement& placement);
    /// After set-up. Throws if a route leads to where nobody takes the colour.
    void check_routes();
    /// That have a route anywhere, sorted.
    const std::vector<Colour>& colours() const { return colours_; }
    /// Bytes of routers, ramps and running instructions; routed (router, colour) pairs.
    std::size_t fabric_bytes() const;
    std::size_t router_colours() const;

private:
    void bridge(Node& from, Node& to, Port along);
    void check(const Word& w, Colour c) const;
    std::size_t word_index(int row, int column) const {
        return static_cast<std::size_t>(row) * words_per_row() + static_cast<std::size_t>(column / lanes);
    }

    int rows_, columns_;
    std::unique_ptr<Node[]> nodes_;
    std::vector<Word> words_;
    std::vector<Colour> colours_;
    std::vector<std::uint8_t> awake_[2], arriving_;
};

}  // namespace wb::fabric
