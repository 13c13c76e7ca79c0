#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace wb::fabric {

/// All PEs' stay in one phase of the program (Pe::phase). PEs enter and leave at different times.
struct Phase {
    std::string name;
    std::uint64_t begin = 0, end = 0;  ///< cycles: the first PE enters, the last one leaves
    std::uint64_t pe_cycles = 0;       ///< summed over the PEs
};

struct Result {
    std::uint64_t cycles = 0;             ///< until the last PE has finished
    std::uint64_t hops = 0;               ///< wavelets over links between routers
    std::uint64_t injected = 0;           ///< wavelets emitted by PEs
    std::uint64_t consumed = 0;           ///< wavelets taken by PEs
    std::vector<std::uint32_t> link_use;  ///< [rows][columns][5]: wavelets that left through north, east, ..., ramp
    std::vector<std::uint32_t> busy;      ///< [rows][columns]: cycles in which the datapath did arithmetic
    std::int64_t sram_peak = 0;           ///< bytes, of the fullest PE
    double fma = 0;                       ///< useful multiply-adds: Work::fma, and one for each element of recv_mac
    std::vector<Phase> timeline;          ///< by begin, then name
};

}  // namespace wb::fabric
