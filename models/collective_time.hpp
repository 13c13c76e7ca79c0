#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/collective_cost.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// How a library moves the bytes of a collective inside one domain: few steps' latency, or full bandwidth.
struct Protocol {
    std::string_view name;  ///< "LL", "LL128", "Simple", as NCCL calls them
    Link link;
    double fill = 0, wire = 1;  ///< what its pipeline loses while it fills: fill x root of (bytes sent / wire) x 1 us
    double filling(double sent) const;
};
/// Those of a device, for ranks that this innermost level joins; the last has full bandwidth.
std::vector<Protocol> protocols(const Device& device, const NetworkLevel& inner);
/// A message through a level outside the innermost, by the port of its rank; `local` ranks share the ports of a node.
Link outer_link(const Device& device, const NetworkLevel& level, int local);
/// Seconds before the first message.
double collective_launch(const Device& device);

struct CollectiveChoice {
    CollectiveAlgorithm algorithm = CollectiveAlgorithm::ring;
    std::string_view protocol;
    double seconds = 0;
};

/// One collective over `ranks` units, each with a buffer of `bytes` as nccl-tests counts it (allgather: the gathered
/// buffer). `per_domain` of the ranks share one innermost fabric; 0: as many as fit. `algorithm`: one of
/// collective_algorithm_names(); empty: the fastest of those a library would use. send_recv is one message between
/// neighbours, or between domains if `ranks` are more than one joins. One rank alone takes no time.
/// Throws Error if the algorithm is unknown or the fabrics cannot do it so, or do not join the ranks.
CollectiveChoice collective_choice(const Device& device, CollectiveKind kind, double bytes, int ranks,
                                   int per_domain = 0, const std::string& algorithm = "");
/// Its seconds.
double collective_time(const Device& device, CollectiveKind kind, double bytes, int ranks, int per_domain = 0,
                       const std::string& algorithm = "");

/// One message to the unit `apart` further, in another domain, while every unit of this one sends one: by its share of
/// the ports, or of what the node has where that is less. Throws Error where no fabric joins so many units.
Link crossing_link(const Device& device, int apart);
double crossing_message_time(const Device& device, double bytes, int apart);

/// Seconds that kernels lose to a collective of so many seconds behind which they run: its channels hold part of the
/// cores and of the memory's bandwidth (Calculon; Isaev et al. 2023). `across`: between domains.
double stolen_seconds(const Device& device, double hidden, bool across);

}  // namespace wb::cluster
