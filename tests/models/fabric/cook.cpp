#include "tests/models/fabric/cook.hpp"

#include <algorithm>

namespace wb::fabric::test {

Cook::Cook(Node& node, const Mesh& mesh, int asynchronous, bool races, Dice dice)
    : node_(node), mesh_(mesh), asynchronous_(asynchronous), races_(races), dice_(std::move(dice)) {}

void Cook::write(const std::vector<Event>& events) {
    std::vector<Event> pieces;
    for (const Event& e : events) {
        const int cut = 2 * (e.elements / 4);
        if (cut > 0 && dice_.chance(20)) {
            pieces.push_back({e.send, e.colour, cut, e.half, false, e.must_overlap});
            pieces.push_back({e.send, e.colour, e.elements - cut, e.half, e.control, e.must_overlap});
        } else {
            pieces.push_back(e);
        }
    }
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        idle();
        const Event& e = pieces[i];
        const bool pair = i + 1 < pieces.size() && !e.send && pieces[i + 1].send && pieces[i + 1].colour != e.colour &&
                          pieces[i + 1].elements == e.elements && pieces[i + 1].half == e.half;
        if (pair && dice_.chance(70))
            write_fused(e, pieces[++i]);
        else
            write_one(e);
        await_some();
    }
    while (!running_.empty()) await(dice_.one_of(running_));
}

void Cook::write_one(const Event& e) {
    held_.clear();
    Step s{e.send ? Kind::send : Kind::recv};
    (e.send ? s.out : s.in) = e.colour;
    s.advance = e.control;
    s.a = memory(e.elements, e.half);
    if (!e.send) {
        const Kind kinds[] = {Kind::recv, Kind::recv_add, Kind::recv_max, Kind::recv_mac};
        s.kind = kinds[dice_.below(4)];
        if (s.kind == Kind::recv && dice_.chance(10)) s.a = {-1, 0, 1, e.elements, e.half};
        if (s.kind == Kind::recv_mac) {
            s.b = memory(e.elements, e.half);
            if (e.half && dice_.chance(50)) s.a = memory(e.elements, false);
        }
    }
    add_fabric(s, e.must_overlap);
}

void Cook::write_fused(const Event& in, const Event& out) {
    held_.clear();
    const Kind kinds[] = {Kind::recv_send, Kind::recv_add_send, Kind::recv_max_send};
    Step s{kinds[dice_.below(3)]};
    s.in = in.colour;
    s.out = out.colour;
    s.advance = out.control;
    s.a = memory(in.elements, in.half);
    if (s.kind == Kind::recv_send && dice_.chance(30)) s.a = {-1, 0, 1, in.elements, in.half};
    add_fabric(s, out.must_overlap);
}

void Cook::add_fabric(Step step, bool overlap) {
    await_conflicts(step);
    step.async = overlap || dice_.chance(asynchronous_);
    while (step.async && static_cast<int>(running_.size()) >= mesh_.microthreads) await(running_.front());
    node_.steps.push_back(step);
    if (step.async) running_.push_back(static_cast<int>(node_.steps.size()) - 1);
}

/// Work and pauses between the instructions.
void Cook::idle() {
    if (dice_.chance(12)) {
        Step s{Kind::wait};
        s.cycles = dice_.below(dice_.chance(97) ? 12 : 1500);
        node_.steps.push_back(s);
    }
    if (dice_.chance(6)) node_.steps.push_back({Kind::task});
    if (!dice_.chance(20)) return;
    held_.clear();
    Step s{Kind::compute};
    const int n = dice_.between(0, 12);
    s.a = memory(n, dice_.chance(50));
    s.b = memory(n, dice_.chance(50));
    s.instructions = dice_.chance(60) ? 1 : dice_.between(0, 4);
    s.elements = dice_.chance(97) ? n : dice_.below(1000);
    s.cycles_per_element = dice_.one_of(std::vector<double>{0.25, 0.5, 1, 1.5, 2});
    node_.steps.push_back(s);
}

/// One receiver and one sender for each colour.
void Cook::await_conflicts(const Step& step) {
    const std::vector<int> all = running_;
    for (const int i : all) {
        const Step& other = node_.steps[static_cast<std::size_t>(i)];
        if ((step.in >= 0 && other.in == step.in) || (step.out >= 0 && other.out == step.out)) await(i);
    }
}

void Cook::await(int step) {
    running_.erase(std::find(running_.begin(), running_.end(), step));
    Step s{Kind::await};
    s.awaited = step;
    node_.steps.push_back(s);
}

void Cook::await_some() {
    while (!running_.empty() && dice_.chance(15)) await(dice_.one_of(running_));
}

bool Cook::in_use(int region) const {
    if (races_) return false;
    if (held_.count(region)) return true;
    return std::any_of(running_.begin(), running_.end(), [&](int i) {
        const Step& s = node_.steps[static_cast<std::size_t>(i)];
        return s.a.region == region || s.b.region == region;
    });
}

std::vector<float> Cook::values(int n) {
    std::vector<float> v(static_cast<std::size_t>(n));
    for (float& x : v) x = static_cast<float>(dice_.between(-8, 8)) / 4;
    return v;
}

/// New memory, or what an earlier instruction has left. Without races no two instructions at work at a time share any.
View Cook::memory(int elements, bool half) {
    const int stride = dice_.chance(80) ? 1 : dice_.one_of(std::vector<int>{-2, -1, 2, 3});
    const int reach = std::max(0, elements - 1) * std::abs(stride) + 1;
    std::vector<int> fitting;
    for (std::size_t i = 0; i < node_.regions.size(); ++i) {
        const Region& r = node_.regions[i];
        if (r.half == half && static_cast<int>(r.initial.size()) >= reach && !in_use(static_cast<int>(i)))
            fitting.push_back(static_cast<int>(i));
    }
    int region = -1;
    if (!fitting.empty() && dice_.chance(60))
        region = dice_.one_of(fitting);
    else
        region = add_region(node_, half, values(reach + dice_.below(4)));
    held_.insert(region);
    const int size = static_cast<int>(node_.regions[static_cast<std::size_t>(region)].initial.size());
    const int low = dice_.between(0, size - reach);
    return {region, stride > 0 ? low : low + reach - 1, stride, elements, half};
}

void break_a_line(Node& node, Dice& dice) {
    const int n = static_cast<int>(node.steps.size());
    if (n == 0) return;
    const int i = dice.below(n);
    Step& s = node.steps[static_cast<std::size_t>(i)];
    const Step pause{Kind::wait};
    if (s.kind >= Kind::compute) return;
    switch (dice.below(4)) {
        case 0: s.a.count = s.b.count = std::max(0, s.a.count - 1); break;
        case 1:
            if (!s.async) s = pause;
            break;
        case 2: s.async = true; break;
        default: {
            if (i + 1 == n) break;
            Step& t = node.steps[static_cast<std::size_t>(i + 1)];
            if (!s.async && !t.async && t.kind != Kind::await) std::swap(s, t);
        }
    }
}

}  // namespace wb::fabric::test
