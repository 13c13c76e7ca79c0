#include <memory>
#include <optional>

#include "models/collective_laws.hpp"
#include "models/fabric/matmul.hpp"
#include "models/fabric/programs/gemv.hpp"

namespace wb::fabric {
namespace {

/// y[n] = x[k] W[k, n]; W is the graph's matrix or its transpose.
struct GemvJob {
    std::vector<float> own_w;
    std::optional<GemvProgram> program;

    GemvJob(const GemvPlan& plan, const Product& p, const HostTensors* host) {
        if (!host) {
            program.emplace(plan);
            return;
        }
        const bool matrix_first = p.n == 1;
        const std::vector<float>&matrix = host->input(matrix_first ? 0 : 1), &x = host->input(matrix_first ? 1 : 0);
        const bool by_k = matrix_first ? p.trans_a : !p.trans_b;  // stored [k, n]
        if (!by_k) own_w = transposed(matrix, plan.n, plan.k);
        program.emplace(plan, by_k ? matrix : own_w, x);
    }
};

Candidate candidate(const Placing& p, const Product& x, const GemvPlan& plan, std::string algorithm) {
    Candidate c;
    c.algorithm = std::move(algorithm);
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = gemv_cycles(p.mesh, plan);
    c.sram_bytes = static_cast<double>(plan.sram_bytes());
    c.hops = static_cast<double>(wavelets(plan.tile_n(), plan.type)) * p.pes() * 2;
    const double padded = static_cast<double>(plan.tile_k() * plan.tile_n()) * p.pes();
    c.padding_flops = 2 * (padded - static_cast<double>(plan.k * plan.n));
    c.host_flops = 2 * padded;
    c.job = [plan, x](HostTensors* host) -> Job {
        auto job = std::make_shared<GemvJob>(plan, x, host);
        return {[job, run = job->program->program()](Pe& pe) { return run(pe); },
                [job, host](Simulator& s) { host->output() = job->program->result(s); }};
    };
    return c;
}

}  // namespace

Candidates gemv_candidates(const Placing& p, const Product& x) {
    GemvPlan plan;
    plan.k = x.k;
    plan.n = x.n == 1 ? x.m : x.n;
    plan.type = p.type == Type::f32 ? DType::f32 : DType::f16;
    plan.rows = p.rows;
    plan.columns = p.columns;
    plan.everywhere = false;  // nothing follows that would want it
    Candidates found;
    for (const auto& [sum, name] :
         {std::pair{GemvPlan::Sum::two_level, "meshgemv"}, {GemvPlan::Sum::pipeline, "pipeline"}}) {
        plan.sum = sum;
        found.all.push_back(candidate(p, x, plan, name));
    }
    return found;
}

}  // namespace wb::fabric
