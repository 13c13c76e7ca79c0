#pragma once

#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// One message of b elements along a row of p PEs, from east to west.
Script message(int p, int b, int ramp_cycles);

/// Pipelined chain reduce of vectors of b elements towards the west of a row of p PEs.
Script chain(int p, int b, int ramp_cycles);

/// Star reduce: the PE at the west end of the row adds up what every other PE sends, nearest first.
Script star(int p, int b, int ramp_cycles);

/// Memory for b elements 1, 2, 3, ... times `factor`.
View counting(Node& node, int b, float factor = 1, bool half = false);

/// Add lines to the program of a node; a receiver gets memory of its own for b elements.
Step& send(Node& node, int colour, View source, bool advance = false);
Step& receive(Node& node, Kind kind, int colour, View destination);
Step& receive(Node& node, Kind kind, int colour, int b);
void wait(Node& node, int cycles);
void compute(Node& node, int cycles);

}  // namespace wb::fabric::test
