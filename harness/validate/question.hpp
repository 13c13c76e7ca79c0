#pragma once

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/case.hpp"
#include "harness/validate/point.hpp"

namespace wb {

/// Why a point cannot become a case.
class Unanswerable : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A case that counts so many times.
struct Term {
    Case c;
    double weight = 1;
};

/// What a point asks of a backend: cases, and how its metric follows from them.
struct Question {
    enum class Asks {
        time,          ///< value = factor x time, or factor / time
        memory,        ///< bytes of one unit held for `component`
        cache_tokens,  ///< what Backend::cache_tokens says of the first term
        energy_ratio,  ///< energy of `reference` over that of `terms`
        program,       ///< what a backend that is ProgramTimes says of `facts` on `system`
    };
    Asks asks = Asks::time;
    std::vector<Term> terms;                   ///< the time is the sum of weight x time
    double start_s = 0;                        ///< and this, once
    std::vector<Term> reference;               ///< energy_ratio: the same work on another system
    double reference_start_s = 0;              ///< as start_s
    std::shared_ptr<const System> system;      ///< program
    std::map<std::string, std::string> facts;  ///< program: the params of the row
    std::string metric;                        ///< program
    double factor = 1;
    bool inverse = false;       ///< value = factor / time
    bool moves = false;         ///< add the transition from the first term's placement to the second's
    bool search_units = false;  ///< the row does not say how many: the fewest that hold it
    std::string component;      ///< memory: which
    std::string note;           ///< what was assumed where the row is silent
    std::string reason;         ///< not empty: the row cannot be asked, and why
};

}  // namespace wb
