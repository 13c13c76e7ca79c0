#pragma once

#include <string>

namespace wb {

/// How a workload is spread over the units of a system; never what is computed. Products of the counts are the units
/// used.
struct Mapping {
    int tensor = 1;             ///< shards of every weight matrix and head group (Megatron tensor parallelism)
    int pipeline = 1;           ///< stages of layers
    int data = 1;               ///< replicas that share a batch
    int context = 1;            ///< shards of the sequence
    int expert = 1;             ///< shards of the experts
    int microbatches = 1;       ///< pieces of a replica's batch
    int rows = 0, columns = 0;  ///< the rectangle of PEs to use on a mesh; 0 = the backend's choice
    std::string algorithm;      ///< a named algorithm ("summa"); empty = the backend's choice

    int units() const { return tensor * pipeline * data * context * expert; }
    /// "32x32 summa", what of it is named; empty if nothing is.
    std::string mesh_text() const {
        std::string out = rows > 0 ? std::to_string(rows) + "x" + std::to_string(columns) : "";
        return out.empty() || algorithm.empty() ? out + algorithm : out + " " + algorithm;
    }
    std::string text() const {
        std::string out;
        const auto put = [&out](const char* name, int n) {
            if (n > 1) out += (out.empty() ? "" : " ") + std::string(name) + std::to_string(n);
        };
        put("tp", tensor);
        put("pp", pipeline);
        put("dp", data);
        put("cp", context);
        put("ep", expert);
        put("mb", microbatches);
        if (const std::string mesh = mesh_text(); !mesh.empty()) out += (out.empty() ? "" : " ") + mesh;
        return out.empty() ? "1" : out;
    }
};

}  // namespace wb
