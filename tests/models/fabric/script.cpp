#include "tests/models/fabric/script.hpp"

#include <fmt/format.h>

namespace wb::fabric::test {

namespace {

constexpr const char* kinds[] = {"send",          "recv",          "recv_add", "recv_max", "recv_mac", "recv_send",
                                 "recv_add_send", "recv_max_send", "compute",  "wait",     "task",     "await"};

std::string describe(const View& v) { return fmt::format("[{}: {}+{}x{}]", v.region, v.first, v.count, v.stride); }

std::string describe(const ColourRoute& r) {
    std::string text = fmt::format("  colour {}:", r.colour);
    for (const Position& p : r.positions) {
        text += fmt::format(" {}>", "NESWR"[p.from]);
        for (const Side s : p.to) text += "NESWR"[s];
    }
    return text + (r.ring ? " ring\n" : "\n");
}

std::string describe(const Step& s) {
    std::string text = fmt::format("{}{}", s.async ? "start " : "", kinds[static_cast<int>(s.kind)]);
    if (s.in >= 0) text += fmt::format(" in={}", s.in);
    if (s.out >= 0) text += fmt::format(" out={}", s.out);
    if (s.a.region >= 0 || s.a.count > 0) text += " a=" + describe(s.a);
    if (s.b.region >= 0) text += " b=" + describe(s.b);
    if (s.advance) text += " advance";
    if (s.kind == Kind::compute) text += fmt::format(" {} x {} x {}", s.instructions, s.elements, s.cycles_per_element);
    if (s.kind == Kind::wait) text += fmt::format(" {}", s.cycles);
    if (s.kind == Kind::await) text += fmt::format(" {}", s.awaited);
    return text;
}

}  // namespace

Mesh ideal_mesh(int ramp_cycles) {
    Mesh m;
    m.rows = m.columns = 1024;
    m.ramp_cycles = ramp_cycles;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    return m;
}

Script blank(int rows, int columns, const Mesh& mesh) {
    Script s;
    s.rows = rows;
    s.columns = columns;
    s.mesh = mesh;
    s.nodes.resize(static_cast<std::size_t>(rows * columns));
    return s;
}

int add_region(Node& node, bool half, std::vector<float> initial) {
    node.regions.push_back({half, std::move(initial)});
    return static_cast<int>(node.regions.size()) - 1;
}

std::string describe(const Script& script) {
    const Mesh& m = script.mesh;
    std::string text =
        fmt::format("{} x {}, ramp {}, starts: vector {} task {} microthread {}\n", script.rows, script.columns,
                    m.ramp_cycles, m.vector_start_cycles, m.task_start_cycles, m.microthread_start_cycles);
    for (int i = 0; i < script.rows * script.columns; ++i) {
        const Node& node = script.nodes[static_cast<std::size_t>(i)];
        if (node.routes.empty() && node.steps.empty()) continue;
        text += fmt::format("PE ({}, {})", i / script.columns, i % script.columns);
        for (std::size_t r = 0; r < node.regions.size(); ++r)
            text += fmt::format(" {}:{}x{}", r, node.regions[r].half ? "f16" : "f32", node.regions[r].initial.size());
        text += "\n";
        for (const ColourRoute& r : node.routes) text += describe(r);
        for (std::size_t s = 0; s < node.steps.size(); ++s)
            text += fmt::format("  {}: {}\n", s, describe(node.steps[s]));
    }
    return text;
}

int wavelets(int elements, bool half) { return half ? (elements + 1) / 2 : elements; }

}  // namespace wb::fabric::test
