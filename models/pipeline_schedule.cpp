#include "models/pipeline_schedule.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "models/collective_time.hpp"
#include "models/offload.hpp"
#include "models/stage_sends.hpp"

namespace wb::cluster {
namespace {

/// Turn k of a direction: groups of pp microbatches go through run after run of layers.
Turn turn(const Mapping& m, int k, bool backward) {
    const int group = m.pipeline * m.virtual_stages, chunk = k / m.pipeline % m.virtual_stages;
    if (m.virtual_stages == 1) return {k, 0, backward};
    return {k / group * m.pipeline + k % m.pipeline, backward ? m.virtual_stages - 1 - chunk : chunk, backward};
}

}  // namespace

std::vector<Turn> turns(const Mapping& m, int stage, bool training) {
    WB_EXPECT(stage >= 0 && stage < m.pipeline);
    WB_EXPECT(m.virtual_stages == 1 || m.microbatches % m.pipeline == 0);
    const int all = m.microbatches * m.virtual_stages, later = m.pipeline - 1 - stage;
    int first = m.virtual_stages == 1 ? later : 2 * later + (m.virtual_stages - 1) * m.pipeline;
    first = m.algorithm == "gpipe" || !training ? all : std::min(first, all);
    std::vector<Turn> out;
    for (int k = 0; k < first; ++k) out.push_back(turn(m, k, false));
    if (!training) return out;
    for (int k = first; k < all; ++k) {
        out.push_back(turn(m, k, false));
        out.push_back(turn(m, k - first, true));
    }
    for (int k = all - first; k < all; ++k) out.push_back(turn(m, k, true));
    return out;
}

namespace {

class Builder {
public:
    Builder(const ModelWork& w, const Device& d, const Mapping& m)
        : w_(w),
          device_(d),
          m_(m),
          training_(w.update > 0),
          chunks_(m.pipeline * m.virtual_stages),
          end_share_(m.pipeline > 1 ? d.constant_or("end_stage_share", 0.5) : 1),
          send_exposed_(d.constant_or("send_exposed_fraction", 0.5)),
          stage_exposed_(stage_exposed_fraction(d)),
          gradient_exposed_(d.constant_or("gradient_exposed_fraction", 0.3)),
          offload_(offload(w, host_of(d), m, backward_seconds() / m.pipeline)) {}

    StageSteps build() {
        const int domain = std::max(1, domain_units(device_.system()));
        if (m_.pipeline > 1) near_ = stage_send(device_, w_, m_, false);
        if (m_.pipeline > 1 && m_.units() > domain) far_ = stage_send(device_, w_, m_, true);
        StageSteps out;
        out.mapping = m_;
        for (stage_ = 0; stage_ < m_.pipeline; ++stage_) {
            steps_.clear();
            for (const Turn& t : turns(m_, stage_, training_)) take(t);
            if (training_) end();
            out.stages.push_back(std::move(steps_));
        }
        return out;
    }

private:
    /// The run of layers a turn works on, counted through the whole model.
    int run_of(const Turn& t) const { return t.chunk * m_.pipeline + stage_; }

    double backward_seconds() const {
        return training_ ? layer_seconds(device_, w_.backward) + repeated_seconds(device_, w_, m_) : 0;
    }

    void take(const Turn& t) {
        const int run = run_of(t), before = t.backward ? run + 1 : run - 1, after = t.backward ? run - 1 : run + 1;
        if (before >= 0 && before < chunks_) message(Step::Kind::receive, t, before, run);
        compute(t, run);
        calls(t, run);
        if (t.backward && offload_.stall > 0)
            add(Step::Kind::compute, "gradients to the host", t).seconds = offload_.stall / m_.virtual_stages;
        if (after >= 0 && after < chunks_) message(Step::Kind::send, t, after, after);
    }

    Step& add(Step::Kind kind, const char* phase, const Turn& t) {
        Step step;
        step.kind = kind;
        step.phase = phase;
        step.microbatch = t.microbatch;
        step.chunk = t.chunk;
        return steps_.emplace_back(std::move(step));
    }

    /// The tag names the microbatch, the run that receives it and the direction.
    void message(Step::Kind kind, const Turn& t, int other, int receiver) {
        if (m_.pipeline == 1) return;
        const bool far = crosses(device_.system(), m_, stage_, other % m_.pipeline);
        const StageSend& send = far ? far_ : near_;
        Step& s = add(kind, "pipeline sends", t);
        s.peer = other % m_.pipeline;
        s.tag = (t.microbatch * chunks_ + receiver) * 2 + (t.backward ? 1 : 0);
        s.bytes = send.bytes;
        s.far = far;
        s.exposed = stage_exposed_;
        if (kind == Step::Kind::receive && send.gathered)
            collective(t, CollectiveKind::allgather, Axis::tensor, send.bytes * m_.tensor, "pipeline sends",
                       stage_exposed_);
    }

    void compute(const Turn& t, int run) {
        const Pass& pass = t.backward ? w_.backward : w_.forward;
        double seconds = layer_seconds(device_, pass);
        if (t.backward) {
            seconds += repeated_seconds(device_, w_, m_);
            if (m_.recompute == Mapping::Recompute::full) seconds -= w_.forward.network;  // played as calls
        }
        seconds /= chunks_;
        if (run == chunks_ - 1) seconds += end_share_ * pass.ends;  // where the loss is
        add(Step::Kind::compute, t.backward ? "backward" : "forward", t).seconds = seconds;
    }

    void calls(const Turn& t, int run) {
        for (const Call& c : w_.calls) {
            const bool again = t.backward && !c.backward && m_.recompute == Mapping::Recompute::full;
            if (c.backward == t.backward || again) call(t, run, c.kind, c.axis, c.bytes, c.times);
        }
        if (m_.context == 1) return;
        const double bytes = w_.key_value_bytes * m_.context;
        const int neighbours = std::max(1, domain_units(device_.system()) / m_.tensor);
        const double gather =
            collective_time(device_, CollectiveKind::allgather, bytes, m_.context, neighbours) * w_.attention_layers;
        context_exposed_ = training_ ? ring_exposed(w_, 3 * gather, send_exposed_) : 1;
        call(t, run, CollectiveKind::allgather, Axis::context, bytes, w_.attention_layers);
        if (t.backward) call(t, run, CollectiveKind::reduce_scatter, Axis::context, bytes, w_.attention_layers);
    }

    /// This run's share of calls that are dealt to all of them; whole ones.
    void call(const Turn& t, int run, CollectiveKind kind, Axis axis, double bytes, double times) {
        const double each = times / chunks_;
        const auto count = static_cast<int>(std::floor((run + 1) * each + 1e-9) - std::floor(run * each + 1e-9));
        const char* phase = axis == Axis::tensor    ? "tensor parallel"
                            : axis == Axis::context ? "context parallel"
                                                    : "expert exchange";
        const double tensor = training_ ? device_.constant_or("tensor_exposed_fraction", 1) : 1;
        const double exposed = axis == Axis::tensor ? tensor : axis == Axis::context ? context_exposed_ : 1;
        for (int i = 0; i < count; ++i) collective(t, kind, axis, bytes, phase, exposed);
    }

    void collective(const Turn& t, CollectiveKind kind, Axis axis, double bytes, const char* phase, double exposed) {
        Step& s = add(Step::Kind::collective, phase, t);
        s.operation = kind;
        s.axis = axis;
        s.bytes = bytes;
        s.exposed = exposed;
    }

    /// Exchanges of replicas at the end of a step, one of each sort for every time they happen.
    std::vector<std::pair<CollectiveKind, int>> exchanges() const {
        if (m_.shard < 2) return {{CollectiveKind::allreduce, 1}};
        if (m_.shard == 2) return {{CollectiveKind::reduce_scatter, m_.microbatches}, {CollectiveKind::allgather, 1}};
        return {{CollectiveKind::reduce_scatter, m_.microbatches}, {CollectiveKind::allgather, 2 * m_.microbatches}};
    }

    /// The part of them that no pass hides, as in the closed form.
    double exposed_gradients() const {
        const StepSeconds seconds = step_seconds(device_, m_);
        double data = 0;
        for (const auto& [kind, times] : exchanges())
            for (const auto& [axis, bytes] : gradients()) {
                Step step;
                step.kind = Step::Kind::collective;
                step.operation = kind;
                step.axis = axis;
                step.bytes = bytes;
                data += times * seconds(step);
            }
        const double layers = layer_seconds(device_, w_.forward) + layer_seconds(device_, w_.backward) +
                              repeated_seconds(device_, w_, m_);
        const double room = (m_.shard >= 2 ? m_.microbatches : 1) * layers / m_.pipeline;
        return data > 0 ? std::max(gradient_exposed_, 1 - room / data) : 1;
    }

    std::vector<std::pair<Axis, double>> gradients() const {
        std::vector<std::pair<Axis, double>> out;
        const auto one = [&](Axis axis, double bytes) {
            if (bytes > 0 && extent(m_, axis) > 1) out.emplace_back(axis, bytes / m_.pipeline);
        };
        one(Axis::replicas, w_.parameter_bytes);
        one(Axis::expert_replicas, w_.expert_bytes);
        return out;
    }

    void end() {
        const double exposed = exposed_gradients();
        for (const auto& [kind, times] : exchanges())
            for (int i = 0; i < times; ++i)
                for (const auto& [axis, bytes] : gradients())
                    collective({-1, 0, true}, kind, axis, bytes, "gradients", exposed);
        if (offload_.tail > 0) add(Step::Kind::compute, "gradients to the host", {-1, 0, true}).seconds = offload_.tail;
        const int share = m_.shard > 0 ? m_.data * m_.context * m_.expert : 1;
        add(Step::Kind::compute, "update", {-1, 0, true}).seconds =
            m_.offload ? offload_.update : w_.update / m_.pipeline / share;
    }

    const ModelWork& w_;
    const Device& device_;
    const Mapping& m_;
    bool training_;
    int chunks_, stage_ = 0;
    double end_share_, send_exposed_, stage_exposed_, gradient_exposed_, context_exposed_ = 1;
    Offload offload_;
    StageSend near_, far_;  ///< from a stage to the next
    std::vector<Step> steps_;
};

}  // namespace

StageSteps pipeline_steps(const ModelWork& work, const Device& device, const Mapping& mapping) {
    return Builder(work, device, mapping).build();
}

StepSeconds step_seconds(const Device& device, const Mapping& m) {
    const int neighbours = std::max(1, domain_units(device.system()) / m.tensor);
    return [&device, m, neighbours](const Step& s) {
        if (s.kind == Step::Kind::send)
            return s.far ? crossing_message_time(device, s.bytes, stage_stride(m))
                         : collective_time(device, CollectiveKind::send_recv, s.bytes, 2);
        const int near = s.axis == Axis::tensor            ? 0
                         : s.axis == Axis::expert_replicas ? std::max(1, neighbours / m.expert)
                                                           : neighbours;
        return collective_time(device, s.operation, s.bytes, extent(m, s.axis), near);
    };
}

}  // namespace wb::cluster
