// The SRAM of a PE.

#include <fmt/format.h>

#include <cstring>

#include "models/fabric/half.hpp"
#include "models/fabric/node.hpp"

namespace wb::fabric {

Vec Node::alloc(Type type, std::size_t count) {
    const auto needed = static_cast<std::int64_t>((count * bytes(type) + 3) / 4 * 4);
    const std::int64_t room = machine_->mesh.sram_bytes - sram_;
    if (needed > room)
        fail(fmt::format("SRAM overflow, {} bytes over", needed - room),
             fmt::format("{} B in use and {} B more do not fit {} B", sram_, needed, machine_->mesh.sram_bytes),
             "Shrink the part of one PE: smaller tiles, or a larger mesh.");
    const Vec v{static_cast<std::uint32_t>(sram_), static_cast<std::uint32_t>(count), 1, type};
    sram_ += needed;
    return v;
}

void Node::hold() {
    if (held_ == sram_) return;
    auto* bigger = shard_->arena().array<std::byte>(static_cast<std::size_t>(sram_));
    if (held_ > 0) std::memcpy(bigger, memory_, static_cast<std::size_t>(held_));
    memory_ = bigger;
    held_ = sram_;
    word_->memory[static_cast<std::size_t>(lane())] = memory_;
}

float Node::load(const Vec& v, std::size_t i) {
    if (!machine_->data || v.base == Vec::nowhere) return 0;
    hold();
    const std::byte* at = memory_ + v.at(i);
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
    if (!machine_->data || v.base == Vec::nowhere) return;
    hold();
    std::byte* at = memory_ + v.at(i);
    if (v.type == Type::f32) {
        std::memcpy(at, &value, sizeof value);
        return;
    }
    const std::uint16_t h = half_of(value);
    std::memcpy(at, &h, sizeof h);
}

std::span<float> Node::f32(const Vec& v) {
    if (!machine_->data) return {};
    WB_EXPECT(v.type == Type::f32 && v.stride == 1);
    hold();
    return {reinterpret_cast<float*>(memory_ + v.base), v.count};  // NOLINT: SRAM is untyped
}

Cursor Instruction::cursor() const {
    const auto step = [](const Vec& v) { return v.stride * static_cast<std::int32_t>(bytes(v.type)); };
    Cursor c;
    c.action = action_;
    c.a = a_.base;
    c.a_step = step(a_);
    c.a_type = a_.type;
    const Vec& carried = action_ == Action::mac ? b_ : a_;
    c.type = carried.type;
    c.left = carried.count;
    return c;
}

Operand Instruction::second() const { return {b_.base, b_.stride * static_cast<std::int32_t>(bytes(b_.type))}; }

}  // namespace wb::fabric
