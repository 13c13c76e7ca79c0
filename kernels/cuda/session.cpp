#include "kernels/cuda/session.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/gather.hpp"
#include "kernels/cuda/fused.hpp"

namespace wb::cuda {
namespace {

/// Fewer launches than this are not worth a recording.
constexpr std::int64_t least_recorded = 8;

}  // namespace

CudaSession::CudaSession(const Case& c, Comm& comm, int index, Pool* pool)
    : whole_(c.graph),
      comm_(comm),
      mapping_(c.mapping),
      device_((use_device(index), device(index))),
      part_(part_of(*c.graph, c.mapping, comm.rank())),
      products_(make_products()),
      telemetry_(device_.bus) {
    const Graph& g = part_.local;
    const auto meeting = [&](Comm& ranks) {
        if (mapping_.algorithm != by_mpi) return make_collectives(ranks);
        if (!comm.takes_device_memory())
            throw Error({std::string(by_mpi), comm.library() + " takes no device memory", "it was built without CUDA",
                         "Use NCCL: leave the algorithm out."});
        return make_direct(ranks);
    };
    if (mapping_.data > 1 && mapping_.tensor > 1) {
        model_ = comm.split(comm.rank() / mapping_.tensor, comm.rank());
        replicas_ = comm.split(comm.rank() % mapping_.tensor, comm.rank());
        among_replicas_ = meeting(*replicas_);
    }
    collectives_ = meeting(model_ ? *model_ : comm);
    const auto among = [&](Collectives& ranks) {
        return Setup{g,          queue_.stream(), scratch_, steps_,
                     *products_, ranks,           device_,  reinterpret_cast<const std::int64_t*>(missing_.data())};
    };
    if (pool) missing_ = Memory(sizeof(std::int64_t));
    if (pool) set_bytes(missing_.data(), 0, missing_.bytes(), queue_.stream());
    const Setup setup = among(*collectives_), replicated = among(among_replicas_ ? *among_replicas_ : *collectives_);
    if (mapping_.algorithm != separate) fused_ = fuse_products(setup);
    make_runners([&](std::size_t op) -> const Setup& { return part_.among_replicas[op] ? replicated : setup; });
    scratch_.allocate();
    steps_.allocate(queue_.stream());
    storage_ = std::make_unique<DeviceStorage>(g, part_.pieces, *whole_, plan_memory(g, place_alignment, fused_),
                                               c.seed, comm.rank(), queue_.stream(), pool);
    if (mapping_.algorithm == cold) cache_filler_ = Memory(2 * device_.l2_bytes);
    bind();
    queue_.wait();
    forget_peak();  // of the trials of products
}

void CudaSession::make_runners(const std::function<const Setup&(std::size_t op)>& setup_of) {
    const Graph& g = part_.local;
    for (std::size_t i = 0; i < g.ops().size(); ++i) {
        if (fused_.place_of(static_cast<int>(i)) != static_cast<int>(i)) {
            runners_.push_back({[](Operands) {}});  // in the product before
            reads_.emplace_back();
            continue;
        }
        runners_.push_back(make_runner({setup_of(i), g.ops()[i]}));
        reads_.push_back(g.ops()[i].in);
        reads_.back().insert(reads_.back().end(), g.ops()[i].out.begin(), g.ops()[i].out.end());
    }
    for (const Fusion& f : fused_.fusions) {
        const auto i = static_cast<std::size_t>(f.product);
        FusedRunner fused = make_fused(setup_of(i), f);
        runners_[i] = std::move(fused.runner);
        reads_[i] = std::move(fused.operands);
    }
}

void CudaSession::bind() {
    const Graph& g = part_.local;
    op_operands_.resize(g.ops().size());
    for (std::size_t b = 0; b < g.blocks().size(); ++b) {
        const Block& block = g.blocks()[b];
        block_operands_.push_back(operands_.size());
        std::size_t at = 0;
        for (int i = block.first; i < block.last; ++i) {
            op_operands_[static_cast<std::size_t>(i)] = at;
            at += reads_[static_cast<std::size_t>(i)].size();
        }
        iteration_operands_.push_back(at);
        executions_ += block.repeat * (block.last - block.first);
        for (std::int64_t k = 0; k < block.repeat; ++k) {
            const std::int64_t iteration = block.reversed ? block.repeat - 1 - k : k;
            for (int i = block.first; i < block.last; ++i)
                for (TensorId id : reads_[static_cast<std::size_t>(i)])
                    operands_.push_back(storage_->at(id, iteration));
        }
        if (stretches_.empty() || stretches_.back().phase != block.phase)
            stretches_.push_back({block.phase, b, b + 1, nullptr});
        else
            stretches_.back().last = b + 1;
    }
    events_.resize(stretches_.size() + 1);
}

void CudaSession::execute(std::size_t b) {
    const Block& block = part_.local.blocks()[b];
    for (std::int64_t k = 0; k < block.repeat; ++k) {
        void** const operands =
            operands_.data() + block_operands_[b] + static_cast<std::size_t>(k) * iteration_operands_[b];
        for (int i = block.first; i < block.last; ++i) {
            const auto op = static_cast<std::size_t>(i);
            runners_[op].run(operands + op_operands_[op]);
        }
    }
}

void CudaSession::execute(const Stretch& stretch) {
    if (stretch.recording) return stretch.recording->play(queue_.stream());
    for (std::size_t b = stretch.first; b < stretch.last; ++b) execute(b);
}

void CudaSession::overwrite_cache() const {
    if (cache_filler_.bytes() > 0) set_bytes(cache_filler_.data(), 0, cache_filler_.bytes(), queue_.stream());
}

/// The first run launches every kernel from the host, so that libraries load what they need; the second records.
Sample CudaSession::run(const std::function<void()>& before_update) {
    const Stream s = queue_.stream();
    if (runs_ == 0) telemetry_.start();
    if (++runs_ == 2 && executions_ >= least_recorded && mapping_.algorithm != unrecorded &&
        mapping_.algorithm != by_mpi)
        for (Stretch& stretch : stretches_)
            stretch.recording = std::make_unique<Recording>(s, [this, &stretch] {
                for (std::size_t b = stretch.first; b < stretch.last; ++b) execute(b);
            });
    overwrite_cache();
    events_[0].record(s);
    steps_.begin(s);
    for (std::size_t i = 0; i < stretches_.size(); ++i) {
        if (before_update && stretches_[i].phase == update_phase) {
            queue_.wait();
            before_update();
        }
        execute(stretches_[i]);
        events_[i + 1].record(s);
    }
    events_.back().wait();
    Sample out;
    for (std::size_t i = 0; i < stretches_.size(); ++i) {
        Span span;
        span.resource = "compute";
        span.phase = stretches_[i].phase;
        span.start = Seconds(events_[i].seconds_since(events_[0]));
        span.duration = Seconds(events_[i + 1].seconds_since(events_[i]));
        out.spans.push_back(span);
    }
    out.elapsed = Seconds(events_.back().seconds_since(events_[0]));
    busy_s_ += out.elapsed.si();
    telemetry_.look();
    return out;
}

std::optional<Outputs> CudaSession::gathered(bool with_changed) const {
    return gather_outputs(*whole_, part_, with_changed, comm_,
                          [this](TensorId local, std::int64_t instance) { return values(local, instance); });
}

std::vector<double> CudaSession::values(TensorId local, std::int64_t iteration) const {
    const DType type = part_.local.tensor(local).dtype;
    const auto each = static_cast<std::size_t>(stored_bytes(type));
    std::vector<double> out(static_cast<std::size_t>(part_.local.elements(local)));
    std::vector<std::byte> bytes(out.size() * each);
    copy_to_host(bytes.data(), storage_->at(local, iteration), static_cast<std::int64_t>(bytes.size()),
                 queue_.stream());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = decode(type, bytes.data() + i * each);
    return out;
}

void CudaSession::poison() {
    storage_->poison(queue_.stream());
    queue_.wait();
}

std::vector<CommUse> CudaSession::communication() const {
    std::map<std::string_view, CommUse> by_operation;
    for (const Block& block : part_.local.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = part_.local.ops()[static_cast<std::size_t>(i)];
            if (op.kind != OpKind::collective) continue;
            CommUse& use = by_operation[name(op.attributes.collective)];
            use.calls += block.repeat;
            use.bytes += part_.local.bytes(op.in[0]) * static_cast<double>(block.repeat);
        }
    std::vector<CommUse> out;
    for (auto& [operation, use] : by_operation) {
        use.fabric = collectives_->library();
        use.operation = operation;
        out.push_back(use);
    }
    return out;
}

std::string CudaSession::detail() const {
    std::set<std::string> libraries;
    for (const Runner& r : runners_)
        if (!r.library.empty()) libraries.insert(r.library);
    const bool recorded = !stretches_.empty() && stretches_.front().recording != nullptr;
    std::string out = fmt::format("{}{}{} on {}, {}", fmt::join(libraries, ", "), libraries.empty() ? "" : ", ",
                                  recorded ? "CUDA graph" : "launched from the host", device_.name, device_.versions);
    if (const std::string fused = text_of(fused_, part_.local); !fused.empty()) out += ", " + fused;
    if (cache_filler_.bytes() > 0) out += ", L2 overwritten before every run";
    if (const std::string clocks = telemetry_.text(); !clocks.empty()) out += ", " + clocks;
    return out;
}

ResourceUse CudaSession::usage() const {
    ResourceUse use;
    const MemoryPlan& plan = storage_->plan();
    const Bytes capacity(static_cast<double>(device_.memory_bytes));
    for (const auto& [level, bytes] :
         {std::pair{"inputs", plan.inputs},
          {"weights", plan.weights},
          {"state", plan.state},
          {"activations", plan.activations},
          {"scratch", Bytes(static_cast<double>(scratch_.bytes()))},
          {"device", Bytes(std::max(static_cast<double>(device_.memory_bytes - free_bytes()),
                                    static_cast<double>(peak_bytes())))}})
        use.memory.push_back({level, capacity, bytes, Bytes(0)});
    use.communication = communication();
    use.useful = part_.local.flops();
    use.overhead = repeated_work(part_.local);
    if (runs_ > 0)
        if (const std::optional<double> watts = telemetry_.watts())
            use.energy = Joules(*watts * busy_s_ / static_cast<double>(runs_));
    use.mapping = mapping_.text();
    use.detail = detail();
    return use;
}

}  // namespace wb::cuda
