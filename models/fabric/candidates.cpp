#include <fmt/format.h>

#include "models/collective_laws.hpp"
#include "models/fabric/candidate.hpp"
#include "models/gemm_laws.hpp"

namespace wb::fabric {

Candidates candidates(const Placing& p) {
    using enum OpKind;
    switch (p.op.kind) {
        case collective: return collective_candidates(p);
        case matmul: return matmul_candidates(p);
        case attention: return attention_candidates(p);
        case softmax:
        case layernorm:
        case rmsnorm:
        case gelu:
        case silu_mul:
        case rope:
        case add: return vector_candidates(p);
        default: return {{}, fmt::format("there is no program for {}", name(p.op.kind))};
    }
}

std::vector<std::string> known_algorithms() {
    std::vector<std::string> known{"snake", "ring", "multicast", "tiles", "meshgemv", "pipeline", "striped"};
    using enum ReduceAlgorithm;
    for (const ReduceAlgorithm a : {star, chain, tree, two_phase, generated}) known.emplace_back(name(a));
    for (const GemmAlgorithm a : {GemmAlgorithm::summa, GemmAlgorithm::cannon, GemmAlgorithm::interleaved,
                                  GemmAlgorithm::allgather, GemmAlgorithm::transposed})
        known.emplace_back(name(a));
    return known;
}

}  // namespace wb::fabric
