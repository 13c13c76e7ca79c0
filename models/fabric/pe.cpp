#include <fmt/format.h>

#include <cmath>

#include "models/fabric/node.hpp"

namespace wb::fabric {

const Mesh& Pe::mesh() const { return node_->machine().mesh; }
bool Pe::data() const { return node_->machine().data; }
Vec Pe::alloc(Type type, std::size_t count) { return node_->alloc(type, count); }

float Pe::get(Vec v, std::size_t i) const {
    WB_EXPECT(i < v.count);
    return node_->load(v, i);
}

void Pe::set(Vec v, std::size_t i, float value) {
    WB_EXPECT(i < v.count);
    node_->store(v, i, value);
}

std::span<float> Pe::f32(Vec v) { return node_->f32(v); }

void Pe::route(Colour colour, Port from, Ports to) { route(colour, {Route{from, to}}); }

void Pe::route(Colour colour, std::initializer_list<Route> positions, bool ring) {
    if (positions.size() == 0 || positions.size() > most_positions)
        node_->fail(fmt::format("colour {} has {} switch positions", colour, positions.size()),
                    fmt::format("a router holds 1 to {}", most_positions), "");
    Switch s;
    s.ring = ring;
    for (const Route& r : positions) s.position[s.positions++] = r;
    node_->add_switch(colour, s);
}

namespace {

/// Throws unless operand and destination match in count.
void same_count(const Vec& a, const Vec& b) { WB_EXPECT(a.count == b.count); }

}  // namespace

Instruction Pe::fabric(Action action, Colour in, Colour out, Vec a, bool advance) {
    Instruction i;
    i.node_ = node_;
    i.action_ = action;
    i.in_ = in;
    i.out_ = out;
    i.a_ = a;
    i.wavelets_ = a.wavelets();
    i.advance_ = advance;
    return i;
}

Instruction Pe::send(Colour out, Vec src, bool advance) { return fabric(Action::send, 0, out, src, advance); }
Instruction Pe::recv(Colour in, Vec dst) { return fabric(Action::store, in, 0, dst, false); }
Instruction Pe::recv_add(Colour in, Vec dst) { return fabric(Action::add, in, 0, dst, false); }
Instruction Pe::recv_max(Colour in, Vec dst) { return fabric(Action::max, in, 0, dst, false); }

Instruction Pe::recv_mac(Colour in, Vec acc, Vec x) {
    same_count(acc, x);
    Instruction i = fabric(Action::mac, in, 0, acc, false);
    i.b_ = x;
    i.wavelets_ = x.wavelets();
    return i;
}

Instruction Pe::recv_send(Colour in, Vec dst, Colour out, bool advance) {
    return fabric(Action::pass, in, out, dst, advance);
}
Instruction Pe::recv_add_send(Colour in, Vec src, Colour out, bool advance) {
    return fabric(Action::add_pass, in, out, src, advance);
}
Instruction Pe::recv_max_send(Colour in, Vec src, Colour out, bool advance) {
    return fabric(Action::max_pass, in, out, src, advance);
}

Instruction Pe::wait(std::uint32_t cycles) {
    Instruction i;
    i.node_ = node_;
    i.cycles_ = cycles;
    return i;
}

Instruction Pe::task() { return wait(static_cast<std::uint32_t>(mesh().task_start_cycles)); }

Instruction Pe::compute(Work work, std::function<void()> body) {
    Instruction i = wait(0);
    const double elements = work.instructions * work.elements * work.cycles_per_element;
    i.cycles_ = static_cast<std::uint64_t>(std::ceil(work.instructions * mesh().vector_start_cycles + elements));
    i.busy_ = static_cast<std::uint64_t>(std::ceil(elements));
    i.computes_ = true;
    i.fma_ = work.fma;
    if (data()) i.body_ = std::move(body);
    return i;
}

double Pe::element_cycles(Type type) const {
    return type == Type::f32 ? mesh().f32_sram_fma_cycles : mesh().f16_sram_fma_cycles;
}

Work Pe::one(const Vec& v) const { return {1, static_cast<double>(v.count), element_cycles(v.type), 0}; }

Instruction Pe::fma(Vec acc, Vec x, Vec s, std::size_t i) {
    same_count(acc, x);
    Work w = one(acc);
    w.fma = acc.count;
    return compute(w, [n = node_, acc, x, s, i] {
        const float factor = n->load(s, i);
        for (std::size_t e = 0; e < acc.count; ++e) n->store(acc, e, std::fma(n->load(x, e), factor, n->load(acc, e)));
    });
}

Instruction Pe::add(Vec dst, Vec x) {
    same_count(dst, x);
    return compute(one(dst), [n = node_, dst, x] {
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, n->load(dst, e) + n->load(x, e));
    });
}

Instruction Pe::mul(Vec dst, Vec x) {
    same_count(dst, x);
    return compute(one(dst), [n = node_, dst, x] {
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, n->load(dst, e) * n->load(x, e));
    });
}

Instruction Pe::scale(Vec dst, Vec s, std::size_t i) {
    return compute(one(dst), [n = node_, dst, s, i] {
        const float factor = n->load(s, i);
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, n->load(dst, e) * factor);
    });
}

Instruction Pe::scale(Vec dst, float factor) {
    return compute(one(dst), [n = node_, dst, factor] {
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, n->load(dst, e) * factor);
    });
}

Instruction Pe::max(Vec dst, Vec x) {
    same_count(dst, x);
    return compute(one(dst), [n = node_, dst, x] {
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, std::max(n->load(dst, e), n->load(x, e)));
    });
}

Instruction Pe::copy(Vec dst, Vec src) {
    same_count(dst, src);
    return compute(one(dst), [n = node_, dst, src] {
        for (std::size_t e = 0; e < dst.count; ++e) n->store(dst, e, n->load(src, e));
    });
}

Instruction Pe::exp(Vec x) {
    Work w = one(x);
    w.instructions = 8;
    return compute(w, [n = node_, x] {
        for (std::size_t e = 0; e < x.count; ++e) n->store(x, e, std::exp(n->load(x, e)));
    });
}

Instruction Pe::tile_gemm(Vec c, Vec a, Vec b, std::size_t m, std::size_t k, std::size_t n) {
    WB_EXPECT(c.count == m * n && a.count == m * k && b.count == k * n);
    const auto steps = static_cast<double>(k * n), rows_of_c = static_cast<double>(m);
    const Work w{steps, rows_of_c, element_cycles(c.type), steps * rows_of_c};
    return compute(w, [node = node_, c, a, b, m, k, n] {
        for (std::size_t j = 0; j < n; ++j)
            for (std::size_t l = 0; l < k; ++l) {
                const float factor = node->load(b, j * k + l);
                for (std::size_t i = 0; i < m; ++i)
                    node->store(c, j * m + i, std::fma(node->load(a, l * m + i), factor, node->load(c, j * m + i)));
            }
    });
}

Handle Pe::start(Instruction instruction) { return node_->start(std::move(instruction)); }
void Pe::phase(std::string_view name) { node_->enter_phase(name); }

}  // namespace wb::fabric
