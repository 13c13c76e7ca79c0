#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "core/dtype.hpp"
#include "core/quantity.hpp"

namespace wb {

enum class SystemKind : std::uint8_t { wafer, cluster, host };
std::string_view name(SystemKind kind);

/// One number of a system file with where it came from.
struct Fact {
    double value = 0;        ///< SI
    std::string text;        ///< as written, with its unit
    std::string source;      ///< full reference
    std::string confidence;  ///< "high", "medium", "low" or empty
    std::string note;
};

/// One level of storage of a unit; capacities and bandwidths are totals of the unit.
struct Memory {
    std::string name;
    std::optional<Fact> capacity;   ///< bytes
    std::optional<Fact> bandwidth;  ///< bytes per second, read and write together
};

/// One level of network. `units` is how many units one instance of it joins.
struct Fabric {
    std::string name, topology;
    std::optional<Fact> units;
    std::optional<Fact> bandwidth;  ///< bytes per second a unit can send, and receive, at once
    std::optional<Fact> latency;    ///< seconds, smallest message
    bool in_network_reduction = false;
    std::optional<Fact>
        ports{};  ///< that share a unit's bandwidth: one message takes one; 0.5 where two units share one
    std::optional<Fact>
        oversubscription{};  ///< units of an inner group get 1 / so much of their bandwidth while all send
};

/// A machine family as one TOML file describes it; how many units a case uses is the experiment's choice.
struct System {
    std::string id, title, vendor, notes;
    SystemKind kind = SystemKind::cluster;
    std::string unit_name;             ///< "GPU", "wafer", "host": what `gpus = N` counts
    std::optional<Fact> parts, clock;  ///< cores, SMs or PEs of a unit; hertz
    std::string parts_name;
    std::map<DType, Fact> peak;  ///< FLOP/s, dense
    std::optional<DType> native16, native8;
    std::vector<Memory> memories;                                   ///< inner to outer
    std::vector<Fabric> fabrics;                                    ///< inner to outer
    std::map<std::string, Fact> mesh, node, power, cost, measured;  ///< further facts by key
    std::map<std::string, Fact> fitted;  ///< constants of the models, fitted over whole families of measurements
    std::map<std::string, std::vector<std::string>> options;  ///< choices the file offers
    std::map<std::string, std::string> chosen;                ///< the choice in force
    std::string file, text;                                   ///< where it was read, verbatim

    /// The type a dtype class means here, or nothing if the machine has none of that width.
    std::optional<DType> resolve(DType type) const;
};

/// Reads a system file strictly: every key must be known, every number must carry a unit and a source.
/// `choices` picks among alternatives the file offers ("clock" -> "maximum").
System load_system(const std::string& path, const std::map<std::string, std::string>& choices = {});
System parse_system(const std::string& text, const std::string& path, const std::string& id,
                    const std::map<std::string, std::string>& choices = {});

}  // namespace wb
