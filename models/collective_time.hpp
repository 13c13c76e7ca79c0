#pragma once

#include <string>

#include "core/op.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// Seconds of one collective over `ranks` neighbouring units, each with a buffer of `bytes` as nccl-tests counts it
/// (allgather: the gathered buffer). Inside one scale-up domain the faster of a latency and a bandwidth protocol;
/// across domains a tree over them whose depth costs time, and a term in the root of the bytes for the pipeline's
/// filling: fitted on NVLSTree over 32 to 8,192 GPUs (NCCL), 5 % held out.
/// `per_domain` of the ranks share one scale-up domain; 0: as many as fit. `algorithm`: "ring" or "nvls" (reduced in the
/// switch, where the fabric can: all-reduce inside one domain); else the faster.
double collective_time(const Device& device, CollectiveKind kind, double bytes, int ranks, int per_domain = 0,
                       const std::string& algorithm = "");

/// Units that the innermost fabric joins.
int domain_units(const System& system);

/// What a rank sends: the factor f of time = f bytes / bus bandwidth (nccl-tests, PERFORMANCE.md).
double traffic_factor(CollectiveKind kind, int ranks);

}  // namespace wb::cluster
