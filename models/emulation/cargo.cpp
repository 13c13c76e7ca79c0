#include "models/emulation/cargo.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.hpp"

namespace wb::emulation {
namespace {

constexpr std::byte unset{0xff};

/// Stamps are added modulo 256.
void add_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
    for (std::int64_t i = 0; i < bytes; ++i)
        to[i] = static_cast<std::byte>(static_cast<unsigned>(to[i]) + static_cast<unsigned>(from[i]));
}

/// Whether a unit sends of what it brought along, not of what it has got since.
bool sends_input(CollectiveKind kind) { return kind == CollectiveKind::alltoall || kind == CollectiveKind::send_recv; }

}  // namespace

Cargo::Cargo(const Program& program, int first, int last) : program_(program), first_(first) {
    if (!real()) return;
    inputs.resize(static_cast<std::size_t>(last - first));
    buffers.resize(inputs.size());
    if (stamped()) add = add_bytes;
}

void Cargo::reset() {
    checked = wrong = 0;
    first_wrong.clear();
}

const std::byte* Cargo::gathered(const Play& p, int unit, const Part& part) {
    if (!real()) return nullptr;
    const std::byte* buffer =
        sends_input(p.collective.operation) ? inputs[index(unit)].data() : buffers[index(unit)].data();
    if (part.wrapped == 0) return buffer + part.at;
    scratch_.assign(buffer + part.at, buffer + part.at + part.bytes);
    scratch_.insert(scratch_.end(), buffer + part.front, buffer + part.front + part.wrapped);
    return scratch_.data();
}

void Cargo::put(int unit, const Part& part, const std::byte* data, bool sum) {
    const auto run = [&](std::int64_t at, const std::byte* from, std::int64_t size) {
        if (size == 0) return;
        std::vector<std::byte>& buffer = buffers[index(unit)];
        WB_EXPECT(static_cast<std::size_t>(at + size) <= buffer.size());
        if (sum)
            add(buffer.data() + at, from, size);
        else
            std::memcpy(buffer.data() + at, from, static_cast<std::size_t>(size));
    };
    run(part.at, data, part.bytes);
    run(part.front, data + part.bytes, part.wrapped);
}

/// The same for all units of a group: they are of one stage, and go through the same list.
Stamp Cargo::stamp(const Play& p, int unit) const {
    return {mix64(program_.seed) + static_cast<std::uint64_t>(p.step), unit};
}

void Cargo::begin(const Play& p, int unit) {
    if (!stamped()) return;
    std::vector<std::byte>&input = inputs[index(unit)], &buffer = buffers[index(unit)];
    const Stamp mine = stamp(p, unit);
    // Blocks that do not divide the buffer differ by an element: what units send one another is of the longer length.
    const auto size = static_cast<std::size_t>(p.bytes + extent(program_.mapping, p.axis) * program_.element_bytes);
    buffer.assign(size, unset);
    const Region own = own_block(program_, p, unit), shard = shard_of(program_, p, unit);
    const auto bring = [&](const Region& r) { mine.write(buffer.data() + r.at, r.at, r.bytes); };
    if (sends_input(p.operation)) {
        input.resize(size);
        mine.write(input.data(), 0, p.bytes);
        if (p.operation == CollectiveKind::alltoall)
            std::copy_n(input.begin() + own.at, own.bytes,
                        buffer.begin() + group_of(program_.mapping, p, unit).place * own.bytes);
    } else if (p.operation == CollectiveKind::allgather) {
        bring(own);
    } else if (p.operation == CollectiveKind::broadcast) {
        if (group_of(program_.mapping, p, unit).place == 0) bring(shard);
    } else {
        bring({0, p.bytes});
    }
}

bool Cargo::summed(const Play& p, int unit, const Region& where) {
    Stamp sum;
    for (int i = 0; i < extent(program_.mapping, p.axis); ++i)
        sum += stamp(p, member(program_.mapping, p.axis, unit, i));
    return sum.matches(buffers[index(unit)].data() + where.at, where.at, where.bytes);
}

/// What others brought along lies where it should.
bool Cargo::arrived(const Play& first, const Play& last, int unit) {
    const Mapping& m = program_.mapping;
    const std::byte* buffer = buffers[index(unit)].data();
    const int n = extent(m, first.axis), mine = place(m, first.axis, unit);
    const Region own = own_block(program_, last, unit);
    bool right = true;
    for (int i = 0; i < n; ++i) {
        const int source = member(m, first.axis, unit, i);
        const Stamp theirs = stamp(first, source);
        Region from{0, 0};
        std::int64_t at = -1;
        switch (first.operation) {
            case CollectiveKind::allgather: from = own_block(program_, first, source); break;
            case CollectiveKind::alltoall: from = own, at = i * own.bytes; break;
            case CollectiveKind::send_recv:
                if ((i + 1) % n == mine) from = {0, first.bytes};
                break;
            case CollectiveKind::broadcast:
                if (i == 0) from = {0, first.bytes};
                // A domain's units are the root's: each brings a shard.
                if (first.shards > 1)
                    from = group_of(m, first, source).place == 0 ? shard_of(program_, first, source) : Region{};
                break;
            default: throw ContractError("nothing of it arrives unsummed");
        }
        right = right && theirs.matches(buffer + (at < 0 ? from.at : at), from.at, from.bytes);
    }
    return right;
}

void Cargo::end(const Play& first, const Play& last, int unit) {
    if (!stamped()) return;
    if (first.operation == CollectiveKind::allreduce)
        judge(summed(first, unit, {0, first.bytes}), first, unit);
    else if (first.operation == CollectiveKind::reduce_scatter)
        judge(summed(first, unit, own_block(program_, last, unit)), first, unit);
    else
        judge(arrived(first, last, unit), first, unit);
}

const std::byte* Cargo::message(const Play& send, int unit) {
    if (!stamped()) return nullptr;
    scratch_.resize(static_cast<std::size_t>(send.bytes));
    Stamp(~program_.seed + static_cast<std::uint64_t>(send.tag), unit).write(scratch_.data(), 0, send.bytes);
    return scratch_.data();
}

void Cargo::check_message(const Play& receive, int source, int unit, const std::byte* data) {
    if (!stamped()) return;
    const Stamp theirs(~program_.seed + static_cast<std::uint64_t>(receive.tag), source);
    judge(theirs.matches(data, 0, receive.bytes), receive, unit);
}

void Cargo::judge(bool right, const Play& p, int unit) {
    ++checked;
    if (right) return;
    if (wrong++ == 0) first_wrong = fmt::format("step {} of unit {}", p.step, unit);
}

}  // namespace wb::emulation
