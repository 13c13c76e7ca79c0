#include "models/fabric/programs/chains.hpp"

namespace wb::fabric {

Process finish(std::vector<Handle>& begun) {
    for (const Handle& h : begun) co_await h;
    begun.clear();
}

Chains::Way Chains::way(bool back, int root) const {
    if (back) return {line_.reversed(), line_.count - 1 - root, static_cast<Colour>(first_ + 2)};
    return {line_, root, first_};
}

void Chains::route(Pe& pe) const {
    Ports both;
    for (const bool back : {false, true}) {
        const Way w = way(back, 0);
        if (!w.line.last()) pe.route(w.out(), Port::ramp, w.line.next);
        if (w.line.first()) continue;
        pe.route(w.in(), w.line.previous, Port::ramp);
        pe.route(spread(back ? line_.index + 1 : line_.index - 1), w.line.previous, Port::ramp);
        both = both | w.line.previous;
    }
    if (!both.empty()) pe.route(spread(line_.index), Port::ramp, both);
}

void Chains::reduce(Pe& pe, int root, Vec values, std::vector<Handle>& begun) const {
    for (const bool back : {false, true}) {
        const Way w = way(back, root);
        if (w.line.index > w.root || w.root == 0) continue;  // the other way's
        if (w.line.index == w.root)
            begun.push_back(pe.start(pe.recv_add(w.in(), values)));
        else if (w.line.first())
            begun.push_back(pe.start(pe.send(w.out(), values)));
        else
            begun.push_back(pe.start(pe.recv_add_send(w.in(), values, w.out())));
    }
}

void Chains::broadcast(Pe& pe, int root, Vec values, std::vector<Handle>& begun) const {
    if (line_.count == 1) return;
    if (line_.index == root) {
        begun.push_back(pe.start(pe.send(spread(root), values)));
        return;
    }
    const Way w = way(line_.index < root, root);
    const Colour in = w.line.index == w.root + 1 ? spread(root) : w.in();
    begun.push_back(pe.start(w.line.last() ? pe.recv(in, values) : pe.recv_send(in, values, w.out())));
}

}  // namespace wb::fabric
