// Memory and arithmetic of the oracle's PEs.

#include <algorithm>
#include <bit>
#include <cmath>

#include "tests/models/fabric/oracle.hpp"

namespace wb::fabric::test {

namespace {

float half_at(std::uint32_t payload, int e) {
    return static_cast<float>(std::bit_cast<_Float16>(static_cast<std::uint16_t>(payload >> (16 * e))));
}

std::uint32_t half_bits(float x, int e) {
    return static_cast<std::uint32_t>(std::bit_cast<std::uint16_t>(static_cast<_Float16>(x))) << (16 * e);
}

}  // namespace

bool Oracle::half(int node, const View& v) const {
    if (v.region < 0) return v.half;
    return script_.nodes[static_cast<std::size_t>(node)].regions[static_cast<std::size_t>(v.region)].half;
}

/// The vector that meets the wavelets tells what they hold: of a multiply-accumulate the factor, not the sum.
bool Oracle::carried_in_halves(int node, const Step& s) const {
    return half(node, s.kind == Kind::recv_mac ? s.b : s.a);
}

/// 0 beyond the end of the view: the padding of an odd f16 tail.
float Oracle::load(int node, const View& v, int i) const {
    if (i >= v.count || v.region < 0) return 0;
    const auto& region = pes_[static_cast<std::size_t>(node)].memory[static_cast<std::size_t>(v.region)];
    return region.at(static_cast<std::size_t>(v.first + i * v.stride));
}

void Oracle::store(int node, const View& v, int i, float value) {
    if (i >= v.count || v.region < 0) return;
    auto& region = pes_[static_cast<std::size_t>(node)].memory[static_cast<std::size_t>(v.region)];
    region.at(static_cast<std::size_t>(v.first + i * v.stride)) =
        half(node, v) ? static_cast<float>(static_cast<_Float16>(value)) : value;
}

/// Two instructions of one cycle at the same element, one of them writing: which comes first is not defined.
void Oracle::touch(int node, const Step& by, const View& v, int i, bool writes) {
    if (v.region < 0 || i >= v.count) return;
    auto& touched = pes_[static_cast<std::size_t>(node)].touched;
    const Touch now{&by, v.region, v.first + i * v.stride, writes};
    for (const Touch& t : touched)
        if (t.by != now.by && t.region == now.region && t.element == now.element && (t.writes || now.writes))
            result_.raced = true;
    touched.push_back(now);
}

/// What an instruction does with one wavelet; returns the one it sends.
Oracle::Wavelet Oracle::execute(int node, const Step& s, int wavelet, const Wavelet& in) {
    const bool two = carried_in_halves(node, s);
    Wavelet out;
    for (int e = 0; e < (two ? 2 : 1); ++e) {
        const int i = two ? 2 * wavelet + e : wavelet;
        const float x = two ? half_at(in.payload, e) : std::bit_cast<float>(in.payload);
        float y = x;
        touch(node, s, s.a, i, receives(s.kind) && s.kind != Kind::recv_add_send && s.kind != Kind::recv_max_send);
        touch(node, s, s.b, i, false);
        switch (s.kind) {
            case Kind::send: y = load(node, s.a, i); break;
            case Kind::recv:
            case Kind::recv_send: store(node, s.a, i, x); break;
            case Kind::recv_add: store(node, s.a, i, load(node, s.a, i) + x); break;
            case Kind::recv_max: store(node, s.a, i, std::max(load(node, s.a, i), x)); break;
            case Kind::recv_mac: store(node, s.a, i, std::fma(load(node, s.b, i), x, load(node, s.a, i))); break;
            case Kind::recv_add_send: y = load(node, s.a, i) + x; break;
            case Kind::recv_max_send: y = std::max(load(node, s.a, i), x); break;
            default: break;
        }
        if (i >= std::max(s.a.count, s.b.count)) y = 0;
        out.payload |= two ? half_bits(y, e) : std::bit_cast<std::uint32_t>(y);
    }
    return out;
}

void Oracle::finish_compute(int node, const Step& s) {
    for (int i = 0; i < s.a.count; ++i) store(node, s.a, i, load(node, s.a, i) + 2 * load(node, s.b, i));
    const double cycles = std::ceil(s.instructions * s.elements * s.cycles_per_element);
    result_.busy[static_cast<std::size_t>(node)] += static_cast<std::uint32_t>(cycles);
}

}  // namespace wb::fabric::test
