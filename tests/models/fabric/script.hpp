#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/mesh.hpp"

namespace wb::fabric::test {

/// The ports of a router in the order of the results; `ramp` leads to its PE.
enum Side : int { north, east, south, west, ramp };

struct Position {
    Side from;
    std::vector<Side> to;
};

struct ColourRoute {
    int colour;
    std::vector<Position> positions;
    bool ring = false;
};

/// Memory of a PE: consecutive elements, f16 if `half`, with what is in them at the start.
struct Region {
    bool half = false;
    std::vector<float> initial;
};

/// `count` elements of a region: first, first + stride, ... A region below 0 is no memory, but has a count.
struct View {
    int region = -1;
    int first = 0, stride = 1, count = 0;
    bool half = false;  ///< without memory: what the wavelets hold
};

enum class Kind {
    send,
    recv,
    recv_add,
    recv_max,
    recv_mac,
    recv_send,
    recv_add_send,
    recv_max_send,
    compute,
    wait,
    task,
    await
};

/// What a step does with wavelets.
inline bool receives(Kind k) { return k >= Kind::recv && k <= Kind::recv_max_send; }
inline bool sends(Kind k) { return k == Kind::send || (k >= Kind::recv_send && k <= Kind::recv_max_send); }
inline bool computes(Kind k) { return receives(k) && k != Kind::recv && k != Kind::recv_send; }

/// One line of a PE's program. What is not used by its kind keeps its default.
struct Step {
    Kind kind;
    bool async = false;     ///< begun on a microthread; a later `await` names it
    int in = -1, out = -1;  ///< colours
    View a = {};            ///< source or destination in memory; of compute: a[i] += 2 b[i] at its end
    View b = {};            ///< second operand of recv_mac and compute
    bool advance = false;   ///< the last wavelet sent carries the control flag
    int instructions = 1;   ///< of compute
    double elements = 0, cycles_per_element = 0;
    int cycles = 0;    ///< of wait
    int awaited = -1;  ///< of await: which step of this PE
};

struct Node {
    std::vector<ColourRoute> routes;
    std::vector<Region> regions;
    std::vector<Step> steps;
};

/// A whole program, and the machine it runs on: the same for the oracle and the engine.
struct Script {
    int rows = 1, columns = 1;
    Mesh mesh;
    std::vector<Node> nodes;  ///< row-major

    Node& at(int row, int column) { return nodes[static_cast<std::size_t>(row * columns + column)]; }
    const Node& at(int row, int column) const { return nodes[static_cast<std::size_t>(row * columns + column)]; }
};

/// How a run ends; refused: the program broke a rule (two receivers on a colour, too many microthreads).
enum class End { finished, deadlock, never_received, refused, endless };

/// What a run of a script gave; all but `end` and `message` are of finished runs only.
struct Outcome {
    End end = End::finished;
    std::string message;
    std::uint64_t cycles = 0, hops = 0, injected = 0, consumed = 0;
    std::vector<std::uint32_t> links;                     ///< [rows][columns][5]
    std::vector<std::uint32_t> busy;                      ///< [rows][columns]
    std::vector<std::vector<std::vector<float>>> memory;  ///< [node][region][element]
    bool raced = false;      ///< two instructions met at an element in one cycle: memory is not defined
    std::uint64_t left = 0;  ///< wavelets never received
};

/// An ideal machine: no start-up costs, large enough for every script.
Mesh ideal_mesh(int ramp_cycles = 2);

/// A mesh of nodes that do nothing.
Script blank(int rows, int columns, const Mesh& mesh);

/// Adds a region to a node; returns its number.
int add_region(Node& node, bool half, std::vector<float> initial);

/// The script as text, for the report of a failing case.
std::string describe(const Script& script);

/// Wavelets that hold this many elements.
int wavelets(int elements, bool half);

}  // namespace wb::fabric::test
