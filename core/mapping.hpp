#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wb {

/// How a workload is spread over the units of a system; never what is computed. Products of the counts are the units
/// used.
struct Mapping {
    int tensor = 1;          ///< shards of every weight matrix and head group (Megatron tensor parallelism)
    int pipeline = 1;        ///< stages of layers
    int data = 1;            ///< replicas that share a batch
    int context = 1;         ///< shards of the sequence
    int expert = 1;          ///< shards of the experts
    int microbatches = 1;    ///< pieces of a replica's batch
    int virtual_stages = 1;  ///< runs of layers a pipeline stage holds (interleaved 1F1B)
    enum class Recompute : std::uint8_t {
        none,
        selective,
        full
    } recompute = Recompute::none;   ///< in the backward pass
    bool sequence_parallel = false;  ///< what tensor ranks would repeat is dealt by tokens (Korthikanti et al. 2022)
    int shard = 0;  ///< data-parallel ranks share: 1 optimizer state, 2 also gradients, 3 also weights (ZeRO, FSDP)
    bool offload = false;       ///< optimizer state lies in the memory of the host, which updates (ZeRO-Offload)
    bool open = false;          ///< of a published run: sp, shard and recompute were not all told, and it did fit
    int rows = 0, columns = 0;  ///< the rectangle of PEs to use on a mesh; 0 = the backend's choice
    std::string algorithm;      ///< a named algorithm ("summa"); empty = the backend's choice

    /// What text() wrote: "tp8 pp8 dp64 mb32 vp3 sp zero1 offload selective 32x32 summa", in any order. Throws Error
    /// that names the word it does not know, or that stands twice.
    static Mapping parse(std::string_view text);
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
        put("vp", virtual_stages);
        const auto word = [&out](const std::string& text) { out += (out.empty() ? "" : " ") + text; };
        if (sequence_parallel) word("sp");
        if (shard > 0) word("zero" + std::to_string(shard));
        if (offload) word("offload");
        if (recompute != Recompute::none) word(recompute == Recompute::full ? "recompute" : "selective");
        if (const std::string mesh = mesh_text(); !mesh.empty()) word(mesh);
        return out.empty() ? "1" : out;
    }
};

}  // namespace wb
