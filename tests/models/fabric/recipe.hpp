#pragma once

#include <rapidcheck.h>

#include <cstdint>
#include <iosfwd>
#include <vector>

#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// What a random program is grown from. Patterns and operations come each from a seed of its own: what remains stays
/// the same when RapidCheck drops one of them, so a failing case shrinks to few.
struct Recipe {
    int rows = 1, columns = 1;
    int ramp_cycles = 2, vector_start = 0, task_start = 0, microthread_start = 0, microthreads = 8;
    int longest = 8;                        ///< elements of a message
    int asynchronous = 0;                   ///< percent of fabric instructions
    bool races = false;                     ///< instructions at work at a time may share memory
    int breaks = 0;                         ///< lines of the finished program dropped, swapped or shortened
    std::vector<std::uint32_t> patterns;    ///< one colour each
    std::vector<std::uint32_t> operations;  ///< in the order in which every PE takes part in them
    std::uint32_t seed = 0;                 ///< of all that remains
};

/// The program. Most end; where lines were broken or fused, some deadlock or leave wavelets behind.
Script cook(const Recipe& recipe);

/// Meshes of up to 7 x 7.
rc::Gen<Recipe> recipes();
/// Meshes of a few rows with up to 200 columns, or the other way round, also with all colours or long messages.
rc::Gen<Recipe> long_recipes();

std::ostream& operator<<(std::ostream& out, const Recipe& recipe);

}  // namespace wb::fabric::test
