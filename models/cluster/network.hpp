#pragma once

#include "core/op.hpp"
#include "models/cluster/device.hpp"

namespace wb::cluster {

/// Seconds of one collective over `ranks` neighbouring units, each with a buffer of `bytes` as nccl-tests counts it
/// (allgather: the gathered buffer). Inside one scale-up domain the faster of a latency and a bandwidth protocol;
/// across domains a tree over them whose depth costs time, and a term in the root of the bytes for the pipeline's
/// filling: fitted on NVLSTree over 32 to 8,192 GPUs (NCCL), 5 % held out.
double collective_time(const Device& device, CollectiveKind kind, double bytes, int ranks);

/// What a rank sends: the factor f of time = f bytes / bus bandwidth (nccl-tests, PERFORMANCE.md).
double traffic_factor(CollectiveKind kind, int ranks);

}  // namespace wb::cluster
