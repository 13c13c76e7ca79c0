#include <memory>
#include <optional>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/fabric/candidate.hpp"
#include "models/fabric/programs/gemm.hpp"

namespace wb::fabric {
namespace {

std::vector<float> transposed(const std::vector<float>& v, std::int64_t rows, std::int64_t columns) {
    std::vector<float> out(v.size());
    for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < columns; ++j)
            out[static_cast<std::size_t>(j * rows + i)] = v[static_cast<std::size_t>(i * columns + j)];
    return out;
}

/// C[m, n] = A[m, k] B[k, n] with the way the graph stores its operands.
struct Product {
    std::int64_t m, k, n;
    bool trans_a, trans_b;
};

Product product_of(const Placing& p) {
    const Attributes& a = p.op.attributes;
    const std::int64_t m = p.in(0)[a.trans_a ? 1 : 0], k = p.in(0)[a.trans_a ? 0 : 1], n = p.out()[1];
    return {m, k, n, a.trans_a, a.trans_b};
}

/// The operands of a program, row-major as it wants them, and the program itself: all in one place as long as it runs.
struct GemmJob {
    std::vector<float> own_a, own_b;
    std::optional<GemmProgram> program;

    GemmJob(const GemmPlan& plan, const Product& x, const HostTensors* host) {
        if (!host) {
            program.emplace(plan);
            return;
        }
        const bool flipped = plan.algorithm == GemmAlgorithm::transposed;  // wants B[n, k]
        if (x.trans_a) own_a = transposed(host->input(0), x.k, x.m);
        if (x.trans_b != flipped)
            own_b = x.trans_b ? transposed(host->input(1), x.n, x.k) : transposed(host->input(1), x.k, x.n);
        program.emplace(plan, x.trans_a ? own_a : host->input(0), x.trans_b != flipped ? own_b : host->input(1));
    }
};

double hops(const GemmPlan& plan, double pes) {
    const bool panels = plan.algorithm == GemmAlgorithm::summa || plan.algorithm == GemmAlgorithm::allgather;
    const auto words = static_cast<double>(wavelets(plan.tile_m() * plan.panel(), plan.type) +
                                           wavelets(plan.panel() * plan.tile_n(), plan.type));
    return (panels ? 1 : 3) * static_cast<double>(plan.steps()) * words * pes;
}

Candidate gemm_candidate(const Placing& p, const Product& x, const GemmPlan& plan) {
    Candidate c;
    c.algorithm = std::string(name(plan.algorithm));
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = gemm_cycles(p.mesh, plan);
    c.sram_bytes = static_cast<double>(plan.sram_bytes());
    c.hops = hops(plan, p.pes());
    c.padding_flops = 2 * plan.padded_fma();
    c.host_flops =
        c.padding_flops + 2.0 * static_cast<double>(x.m) * static_cast<double>(x.n) * static_cast<double>(x.k);
    c.job = [plan, x](HostTensors* host) -> Job {
        auto job = std::make_shared<GemmJob>(plan, x, host);
        return {[job, run = job->program->program()](Pe& pe) { return run(pe); },
                [job, host](Simulator& s) { host->output() = job->program->result(s); }};
    };
    return c;
}

}  // namespace

Candidates matmul_candidates(const Placing& p) {
    if (p.op.in.size() > 2) return {{}, "there is no program for a product with a bias"};
    if (p.in(0).size() != 2 || p.in(1).size() != 2) return {{}, "there is no program for a batch of products"};
    const Product x = product_of(p);
    Candidates found;
    using enum GemmAlgorithm;
    for (const GemmAlgorithm a : {summa, cannon, interleaved, allgather, GemmAlgorithm::transposed}) {
        GemmPlan plan;
        plan.algorithm = a;
        plan.m = x.m;
        plan.k = x.k;
        plan.n = x.n;
        plan.type = p.type == Type::f32 ? DType::f32 : DType::f16;
        plan.rows = p.rows;
        plan.columns = p.columns;
        const bool panels = a == summa || a == allgather;
        if (panels || p.rows == p.columns) found.all.push_back(gemm_candidate(p, x, plan));
    }
    return found;
}

}  // namespace wb::fabric
