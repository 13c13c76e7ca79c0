#pragma once

#include <map>
#include <vector>

#include "tests/models/fabric/dice.hpp"
#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// From one PE to one or several, along the routes of a tree. `control`: its last wavelet must advance the switches.
struct Message {
    int sender;
    std::vector<int> receivers;
    bool control;
};

/// A tree of routes of one colour, and the messages it carries in the order in which its switches let them pass.
struct Tree {
    enum class Kind { multicast, gather, scatter };
    Kind kind = Kind::multicast;
    bool once = false;  ///< its switches do not come back to where they were
    std::map<int, ColourRoute> routes;
    std::vector<Message> messages;
};

/// Trees of one colour that share no router. Gather: every sender has its turn at every router on the way to the
/// root; scatter: the root sends to one PE after the other; multicast: to all PEs with a ramp at once.
std::vector<Tree> grow_forest(int rows, int columns, int colour, Dice dice);

}  // namespace wb::fabric::test
