#include "tests/models/fabric/laws.hpp"

namespace wb::fabric::test {

View counting(Node& node, int b, float factor, bool half) {
    std::vector<float> values;
    for (int i = 0; i < b; ++i) values.push_back(factor * static_cast<float>(i + 1));
    return {add_region(node, half, std::move(values)), 0, 1, b, half};
}

Step& send(Node& node, int colour, View source, bool advance) {
    Step s{Kind::send};
    s.out = colour;
    s.a = source;
    s.advance = advance;
    return node.steps.emplace_back(s);
}

Step& receive(Node& node, Kind kind, int colour, View destination) {
    Step s{kind};
    s.in = colour;
    s.a = destination;
    return node.steps.emplace_back(s);
}

Step& receive(Node& node, Kind kind, int colour, int b) { return receive(node, kind, colour, counting(node, b, 0)); }

void wait(Node& node, int cycles) {
    Step s{Kind::wait};
    s.cycles = cycles;
    node.steps.push_back(s);
}

void compute(Node& node, int cycles) {
    Step s{Kind::compute};
    s.elements = cycles;
    s.cycles_per_element = 1;
    node.steps.push_back(s);
}

Script message(int p, int b, int ramp_cycles) {
    Script s = blank(1, p, ideal_mesh(ramp_cycles));
    for (int i = 0; i < p; ++i) s.at(0, i).routes = {{0, {{i == p - 1 ? ramp : east, {i == 0 ? ramp : west}}}, false}};
    send(s.at(0, p - 1), 0, counting(s.at(0, p - 1), b));
    receive(s.at(0, 0), Kind::recv, 0, b);
    return s;
}

Script chain(int p, int b, int ramp_cycles) {
    Script s = blank(1, p, ideal_mesh(ramp_cycles));
    for (int i = 0; i < p; ++i) {
        Node& node = s.at(0, i);
        const int in = (i + 1) % 2, out = i % 2;
        const View v = counting(node, b, static_cast<float>(i + 1));
        if (i < p - 1) node.routes.push_back({in, {{east, {ramp}}}, false});
        if (i > 0) node.routes.push_back({out, {{ramp, {west}}}, false});
        if (i == p - 1) {
            send(node, out, v);
        } else if (i == 0) {
            receive(node, Kind::recv_add, in, v);
        } else {
            receive(node, Kind::recv_add_send, in, v).out = out;
        }
    }
    return s;
}

Script star(int p, int b, int ramp_cycles) {
    Script s = blank(1, p, ideal_mesh(ramp_cycles));
    s.at(0, 0).routes = {{0, {{east, {ramp}}}, false}};
    const View sum = counting(s.at(0, 0), b);
    for (int i = 1; i < p; ++i) {
        Node& node = s.at(0, i);
        node.routes = {{0, {{ramp, {west}}, {east, {west}}}, false}};
        if (i == p - 1) node.routes[0].positions.pop_back();
        send(node, 0, counting(node, b, static_cast<float>(i + 1)), true);
        receive(s.at(0, 0), Kind::recv_add, 0, sum);
    }
    return s;
}

}  // namespace wb::fabric::test
