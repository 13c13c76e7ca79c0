#pragma once

#include <map>
#include <set>

#include "tests/models/fabric/dice.hpp"
#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// What an operation asks of one PE.
struct Event {
    bool send;
    int colour;
    int elements;
    bool half;
    bool control;               ///< the last wavelet sent moves the switches
    bool must_overlap = false;  ///< what follows must not wait for its end
};

/// Turns the events of one PE into its program: cut in pieces, fused, on microthreads, in memory of any shape, with
/// work in between.
class Cook {
public:
    Cook(Node& node, const Mesh& mesh, int asynchronous, bool races, Dice dice);
    void write(const std::vector<Event>& events);

private:
    void write_one(const Event& e);
    void write_fused(const Event& in, const Event& out);
    void add_fabric(Step step, bool overlap);
    void idle();
    void await_conflicts(const Step& step);
    void await(int step);
    void await_some();
    View memory(int elements, bool half);
    std::vector<float> values(int n);
    bool in_use(int region) const;

    Node& node_;
    const Mesh& mesh_;
    int asynchronous_;
    bool races_;
    Dice dice_;
    std::vector<int> running_;  ///< asynchronous steps not awaited yet
    std::set<int> held_;        ///< regions of the step being made
};

/// Drops, swaps, shortens a random line, or lets it run on a microthread that nobody awaits.
void break_a_line(Node& node, Dice& dice);

}  // namespace wb::fabric::test
