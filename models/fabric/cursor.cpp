// What fabric instructions do with wavelets and memory.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "models/fabric/flow.hpp"
#include "models/fabric/half.hpp"

namespace wb::fabric {

namespace {

template <class T>
T read(const std::byte* memory, std::uint32_t at) {
    T x;
    std::memcpy(&x, memory + at, sizeof x);
    return x;
}

template <class T>
void write(std::byte* memory, std::uint32_t at, T x) {
    std::memcpy(memory + at, &x, sizeof x);
}

float load(const std::byte* memory, std::uint32_t at, Type type) {
    if (at == Vec::nowhere) return 0;
    return type == Type::f32 ? read<float>(memory, at) : float_of(read<std::uint16_t>(memory, at));
}

void store(std::byte* memory, std::uint32_t at, Type type, float x) {
    if (at == Vec::nowhere) return;
    if (type == Type::f32)
        write(memory, at, x);
    else
        write(memory, at, half_of(x));
}

void step(std::uint32_t& at, std::int32_t by) {
    if (at != Vec::nowhere) at += static_cast<std::uint32_t>(by);
}

/// One element; returns what goes on.
float element(const Cursor& c, std::byte* memory, float x, std::uint32_t second) {
    switch (c.action) {
        case Action::send: return load(memory, c.a, c.type);
        case Action::store:
        case Action::pass: store(memory, c.a, c.type, x); return x;
        case Action::add: store(memory, c.a, c.type, load(memory, c.a, c.type) + x); return x;
        case Action::max: store(memory, c.a, c.type, std::max(load(memory, c.a, c.type), x)); return x;
        case Action::mac:
            store(memory, c.a, c.a_type, std::fma(load(memory, second, c.type), x, load(memory, c.a, c.a_type)));
            return x;
        case Action::add_pass: return load(memory, c.a, c.type) + x;
        case Action::max_pass: return std::max(load(memory, c.a, c.type), x);
        case Action::cycles: break;
    }
    return x;
}

}  // namespace

std::uint32_t Cursor::apply_any(std::byte* memory, std::uint32_t payload, Operand* second) {
    const bool copies = action == Action::send || action == Action::store || action == Action::pass;
    if (copies && type == Type::f16 && left >= 2 && a != Vec::nowhere && a_step == 2) {  // two neighbours, as they are
        if (action == Action::send)
            payload = read<std::uint32_t>(memory, a);
        else
            write(memory, a, payload);
        a += 4;
        left -= 2;
        return payload;
    }
    const std::uint32_t width = per_wavelet(type);
    const bool two = action == Action::mac;
    std::uint32_t on = 0;
    for (std::uint32_t k = 0; k < width && left > 0; ++k, --left) {
        const std::uint32_t operand = two ? second->at : Vec::nowhere;
        if (type == Type::f32) {
            on = std::bit_cast<std::uint32_t>(element(*this, memory, std::bit_cast<float>(payload), operand));
        } else {
            const auto half = static_cast<std::uint16_t>(payload >> (16 * k));
            on |= static_cast<std::uint32_t>(half_of(element(*this, memory, float_of(half), operand))) << (16 * k);
        }
        step(a, a_step);
        if (two) step(second->at, second->step);
    }
    return on;
}

}  // namespace wb::fabric
