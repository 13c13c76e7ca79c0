#include <memory>
#include <optional>

#include "models/collective_laws.hpp"
#include "models/fabric/matmul.hpp"
#include "models/fabric/programs/gemm.hpp"

namespace wb::fabric {
namespace {

bool by_panels(GemmAlgorithm a) { return a == GemmAlgorithm::summa || a == GemmAlgorithm::allgather; }

/// The operands as the program wants them, and the program: all in one place as long as it runs.
struct GemmJob {
    std::vector<float> own_a, own_b;
    std::optional<GemmProgram> program;

    GemmJob(const GemmPlan& plan, const Product& x, const HostTensors* host) {
        if (!host) {
            program.emplace(plan);
            return;
        }
        const bool by_n = plan.algorithm == GemmAlgorithm::transposed;  // wants B[n, k]
        if (x.trans_a) own_a = wb::fabric::transposed(host->input(0), x.k, x.m);
        if (x.trans_b != by_n)
            own_b = wb::fabric::transposed(host->input(1), x.trans_b ? x.n : x.k, x.trans_b ? x.k : x.n);
        program.emplace(plan, x.trans_a ? own_a : host->input(0), x.trans_b != by_n ? own_b : host->input(1));
    }
};

/// Panels go over each link once; shifted tiles two hops a step, and half a ring before the first.
double hops(const GemmPlan& plan, double pes) {
    const auto words = static_cast<double>(wavelets(plan.tile_m() * plan.panel(), plan.type) +
                                           wavelets(plan.panel() * plan.tile_n(), plan.type));
    return (by_panels(plan.algorithm) ? 1 : 3) * static_cast<double>(plan.steps()) * words * pes;
}

Candidate candidate(const Placing& p, const Product& x, const GemmPlan& plan) {
    Candidate c;
    c.algorithm = std::string(name(plan.algorithm));
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = gemm_cycles(p.mesh, plan);
    c.sram_bytes = static_cast<double>(plan.sram_bytes());
    c.hops = hops(plan, p.pes());
    c.padding_flops = 2 * plan.padded_fma();
    c.host_flops = c.padding_flops + 2 * static_cast<double>(x.m) * static_cast<double>(x.k) * static_cast<double>(x.n);
    c.job = [plan, x](HostTensors* host) -> Job {
        auto job = std::make_shared<GemmJob>(plan, x, host);
        return {[job, run = job->program->program()](Pe& pe) { return run(pe); },
                [job, host](Simulator& s) { host->output() = job->program->result(s); }};
    };
    return c;
}

}  // namespace

Candidates gemm_candidates(const Placing& p, const Product& x) {
    Candidates found;
    for (const GemmAlgorithm a : {GemmAlgorithm::summa, GemmAlgorithm::cannon, GemmAlgorithm::interleaved,
                                  GemmAlgorithm::allgather, GemmAlgorithm::transposed}) {
        if (!by_panels(a) && p.rows != p.columns) continue;
        GemmPlan plan;
        plan.algorithm = a;
        plan.m = x.m;
        plan.k = x.k;
        plan.n = x.n;
        plan.type = p.type == Type::f32 ? DType::f32 : DType::f16;
        plan.rows = p.rows;
        plan.columns = p.columns;
        found.all.push_back(candidate(p, x, plan));
    }
    return found;
}

}  // namespace wb::fabric
