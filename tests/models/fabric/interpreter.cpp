#include "tests/models/fabric/interpreter.hpp"

#include <map>
#include <string>

namespace wb::fabric::test {

namespace {

Ports ports(const std::vector<Side>& sides) {
    Ports p;
    for (const Side s : sides) p = p | Ports(static_cast<Port>(s));
    return p;
}

void set_route(Pe& pe, const ColourRoute& r) {
    std::vector<Route> p;
    for (const Position& position : r.positions) p.push_back({static_cast<Port>(position.from), ports(position.to)});
    const auto colour = static_cast<Colour>(r.colour);
    switch (p.size()) {
        case 1: pe.route(colour, {p[0]}, r.ring); break;
        case 2: pe.route(colour, {p[0], p[1]}, r.ring); break;
        case 3: pe.route(colour, {p[0], p[1], p[2]}, r.ring); break;
        default: pe.route(colour, {p.at(0), p.at(1), p.at(2), p.at(3)}, r.ring);
    }
}

Vec vec(const std::vector<Vec>& regions, const View& view) {
    const auto count = static_cast<std::size_t>(view.count);
    if (view.region < 0) return nothing(count, view.half ? Type::f16 : Type::f32);
    Vec v = regions[static_cast<std::size_t>(view.region)];
    v.base = v.at(static_cast<std::size_t>(view.first));
    v.count = static_cast<std::uint32_t>(count);
    v.stride = view.stride;
    return v;
}

Instruction instruction(Pe& pe, const Step& s, Vec a, Vec b) {
    const auto in = static_cast<Colour>(s.in), out = static_cast<Colour>(s.out);
    switch (s.kind) {
        case Kind::send: return pe.send(out, a, s.advance);
        case Kind::recv: return pe.recv(in, a);
        case Kind::recv_add: return pe.recv_add(in, a);
        case Kind::recv_max: return pe.recv_max(in, a);
        case Kind::recv_mac: return pe.recv_mac(in, a, b);
        case Kind::recv_send: return pe.recv_send(in, a, out, s.advance);
        case Kind::recv_add_send: return pe.recv_add_send(in, a, out, s.advance);
        case Kind::recv_max_send: return pe.recv_max_send(in, a, out, s.advance);
        case Kind::wait: return pe.wait(static_cast<std::uint32_t>(s.cycles));
        case Kind::task: return pe.task();
        default:
            return pe.compute({static_cast<double>(s.instructions), s.elements, s.cycles_per_element}, [&pe, a, b] {
                for (std::size_t i = 0; i < a.count; ++i) pe.set(a, i, pe.get(a, i) + 2 * pe.get(b, i));
            });
    }
}

std::vector<Vec> allocate(Pe& pe, const Node& node) {
    std::vector<Vec> regions;
    for (const Region& r : node.regions) {
        regions.push_back(pe.alloc(r.half ? Type::f16 : Type::f32, r.initial.size()));
        for (std::size_t i = 0; pe.data() && i < r.initial.size(); ++i) pe.set(regions.back(), i, r.initial[i]);
    }
    return regions;
}

Process interpret(Pe& pe, const Script& script) {
    const Node& node = script.at(pe.row, pe.column);
    const std::vector<Vec> regions = allocate(pe, node);
    for (const ColourRoute& r : node.routes) set_route(pe, r);
    std::map<int, Handle> begun;
    for (std::size_t i = 0; i < node.steps.size(); ++i) {
        const Step& s = node.steps[i];
        if (s.kind == Kind::await) {
            co_await begun.at(s.awaited);
            continue;
        }
        Instruction x = instruction(pe, s, vec(regions, s.a), vec(regions, s.b));
        if (s.async)
            begun[static_cast<int>(i)] = pe.start(std::move(x));
        else
            co_await std::move(x);
    }
}

/// Regions lie one after the other from the start of the memory, each 4-byte aligned.
std::vector<std::vector<float>> memory_of(Pe& pe, const Node& node) {
    std::vector<std::vector<float>> memory;
    std::uint32_t base = 0;
    for (const Region& r : node.regions) {
        const Vec v{base, static_cast<std::uint32_t>(r.initial.size()), 1, r.half ? Type::f16 : Type::f32};
        memory.emplace_back();
        for (std::size_t i = 0; i < v.count; ++i) memory.back().push_back(pe.get(v, i));
        base += (v.count * bytes(v.type) + 3) / 4 * 4;
    }
    return memory;
}

}  // namespace

Program program_of(const Script& script) {
    return [&script](Pe& pe) { return interpret(pe, script); };
}

Outcome run_engine(const Script& script, const EngineOptions& options) {
    Outcome o;
    Options how;
    how.rows = script.rows;
    how.columns = script.columns;
    how.data = options.data;
    how.threads = options.threads;
    how.defects = options.defects;
    Simulator simulator(script.mesh, how);
    try {
        const Result r = simulator.run(program_of(script));
        o.cycles = r.cycles;
        o.hops = r.hops;
        o.injected = r.injected;
        o.consumed = r.consumed;
        o.links = r.link_use;
        o.busy = r.busy;
    } catch (const Error& e) {
        o.message = e.what();
        if (o.message.find("deadlock") != std::string::npos)
            o.end = End::deadlock;
        else if (o.message.find("never received") != std::string::npos)
            o.end = End::never_received;
        else if (o.message.find("two receivers") != std::string::npos ||
                 o.message.find("two senders") != std::string::npos ||
                 o.message.find("microthreads") != std::string::npos)
            o.end = End::refused;
        else
            throw;
    }
    if (options.data && o.end == End::finished)
        for (int i = 0; i < script.rows * script.columns; ++i)
            o.memory.push_back(memory_of(simulator.pe(i / script.columns, i % script.columns),
                                         script.nodes[static_cast<std::size_t>(i)]));
    return o;
}

}  // namespace wb::fabric::test
