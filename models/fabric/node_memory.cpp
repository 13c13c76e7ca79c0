// The SRAM of a PE, and what instructions do with wavelets and memory.

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "models/fabric/half.hpp"
#include "models/fabric/node.hpp"

namespace wb::fabric {

Vec Node::alloc(Type type, std::size_t count) {
    const auto needed = static_cast<std::int64_t>((count * bytes(type) + 3) / 4 * 4);
    const std::int64_t room = machine_.mesh.sram_bytes - sram_;
    if (needed > room)
        fail(fmt::format("SRAM overflow, {} bytes over", needed - room),
             fmt::format("{} B in use and {} B more do not fit {} B", sram_, needed, machine_.mesh.sram_bytes),
             "Shrink the part of one PE: smaller tiles, or a larger mesh.");
    Vec v{static_cast<std::uint32_t>(sram_), static_cast<std::uint32_t>(count), 1, type};
    sram_ += needed;
    if (machine_.data) memory_.resize(static_cast<std::size_t>(sram_));
    return v;
}

float Node::load(const Vec& v, std::size_t i) const {
    if (!machine_.data || v.base == Vec::nowhere) return 0;
    const std::byte* at = memory_.data() + v.at(i);
    if (v.type == Type::f32) {
        float x = 0;
        std::memcpy(&x, at, sizeof x);
        return x;
    }
    std::uint16_t h = 0;
    std::memcpy(&h, at, sizeof h);
    return float_of(h);
}

void Node::store(const Vec& v, std::size_t i, float value) {
    if (!machine_.data || v.base == Vec::nowhere) return;
    std::byte* at = memory_.data() + v.at(i);
    if (v.type == Type::f32) {
        std::memcpy(at, &value, sizeof value);
        return;
    }
    const std::uint16_t h = half_of(value);
    std::memcpy(at, &h, sizeof h);
}

std::span<float> Node::f32(const Vec& v) {
    if (!machine_.data) return {};
    WB_EXPECT(v.type == Type::f32 && v.stride == 1);
    return {reinterpret_cast<float*>(memory_.data() + v.base), v.count};  // NOLINT: SRAM is untyped
}

Wavelet Node::apply(Instruction& i, Wavelet w) {
    const Type type = i.action_ == Action::mac ? i.b_.type : i.a_.type;
    const std::uint32_t width = per_wavelet(type), first = i.done_ * width;
    const std::uint32_t count = i.action_ == Action::mac ? i.b_.count : i.a_.count;
    Wavelet out;
    for (std::uint32_t lane = 0; lane < width && first + lane < count; ++lane) {
        const std::uint32_t at = first + lane;
        const auto bits16 = static_cast<std::uint16_t>(w.payload >> (16 * lane));
        const float x = type == Type::f32 ? std::bit_cast<float>(w.payload) : float_of(bits16);
        float y = x;
        switch (i.action_) {
            case Action::send: y = load(i.a_, at); break;
            case Action::store:
            case Action::pass: store(i.a_, at, x); break;
            case Action::add: store(i.a_, at, load(i.a_, at) + x); break;
            case Action::max: store(i.a_, at, std::max(load(i.a_, at), x)); break;
            case Action::mac: store(i.a_, at, std::fma(load(i.b_, at), x, load(i.a_, at))); break;
            case Action::add_pass: y = load(i.a_, at) + x; break;
            case Action::max_pass: y = std::max(load(i.a_, at), x); break;
            case Action::cycles: break;
        }
        if (type == Type::f32)
            out.payload = std::bit_cast<std::uint32_t>(y);
        else
            out.payload |= static_cast<std::uint32_t>(half_of(y)) << (16 * lane);
    }
    return out;
}

}  // namespace wb::fabric
