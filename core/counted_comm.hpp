#pragma once

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

#include "core/comm.hpp"
#include "core/measurement.hpp"

namespace wb {

/// What a rank's calls took: the book that a profiling layer between program and MPI keeps (PMPI; Vetter and McCracken,
/// PPoPP 2001). A call that returns when all is done is exposed in full. One that was started: its time is from there
/// until it was first seen to be finished, of which the rank spent the exposed part inside calls, the rest computing.
class CommLedger {
public:
    void add(std::string_view operation, Bytes bytes, Seconds time, Seconds exposed);
    void clear() { uses_.clear(); }
    /// One entry an operation, in the order of their names; the fabric is not filled in.
    const std::vector<CommUse>& uses() const { return uses_; }
    Seconds time() const;
    Seconds exposed() const;

private:
    std::vector<CommUse> uses_;
};

/// Speaks for `ranks` and books every collective and message in `ledger`; both must outlive it. What the ranks agree on
/// (max, gather of numbers and texts, share, deliver) is not the program's traffic and is not booked.
std::unique_ptr<Comm> counted(Comm& ranks, CommLedger& ledger);

}  // namespace wb
