#include "models/fabric/node.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace wb::fabric {

void Node::place_at(const Machine& machine, Shard& shard, Word& word, int row, int column) {
    machine_ = &machine;
    shard_ = &shard;
    word_ = &word;
    word.arena = &shard.arena();
    row_ = row;
    column_ = column;
}

void Node::give(int row, int column, int rows, int columns) {
    pe_.row = row;
    pe_.column = column;
    pe_.rows = rows;
    pe_.columns = columns;
}

std::string Node::place() const {
    return pe_.rows == 0 ? fmt::format("spare router ({}, {})", row_, column_)
                         : fmt::format("PE ({}, {})", pe_.row, pe_.column);
}

void Node::fail(std::string problem, std::string why, std::string hint) const {
    throw Error({place(), std::move(problem), std::move(why), std::move(hint)});
}

void Node::check_colour(Colour c, const char* what) const {
    if (c >= machine_->mesh.colours)
        fail(fmt::format("{} colour {}", what, c),
             fmt::format("the machine has {} colours, 0 to {}", machine_->mesh.colours, machine_->mesh.colours - 1),
             "Use fewer colours.");
}

void Node::add_switch(Colour colour, const Switch& s) {
    check_colour(colour, "routes");
    if (!machine_->setting_up)
        fail(fmt::format("routes colour {} at cycle {}", colour, shard_->now()), "routes are static",
             "Set all routes before the first co_await.");
    if ((routed_ >> colour & 1U) != 0)
        fail(fmt::format("routes colour {} twice", colour), "a router has one switch for a colour",
             "Give all its positions in one call.");
    routed_ |= 1U << colour;
    for (int i = 0; i < s.positions; ++i) {
        if (s.position[i].to.empty())
            fail(fmt::format("route to nowhere: colour {} has no destination", colour), "its wavelets would stay", "");
        if (s.position[i].to.has(Port::ramp)) word_->up(colour, machine_->ramp_cycles(), machine_->data);
    }
    word_->block(colour, machine_->data).add(lane(), s, *word_->arena);
}

void Node::bypass(Colour colour, const Switch& s) {
    word_->block(colour, machine_->data).add(lane(), s, *word_->arena);
}

void Node::resume_main_at(std::uint64_t due) {
    resume_at_ = due;
    shard_->resume_at(due, *this);
}

void Node::run(Process process) {
    process_ = std::move(process);
    main_ = process_.handle();
    shard_->began();
    resume_at_ = 0;
    resume(0);
}

void Node::end_compute() {
    busy_ += static_cast<std::uint32_t>(computing_->busy_);
    fma_ += computing_->fma_;
    if (machine_->data && computing_->body_) computing_->body_();
    computing_ = nullptr;
    word_->computing &= ~bit_of(lane());
}

void Node::resume(std::uint64_t now) {
    if (resume_at_ > now) {  // delayed since
        shard_->resume_at(resume_at_, *this);
        return;
    }
    resume_at_ = never;
    if (computing_ != nullptr) end_compute();
    main_.resume();
    if (!process_.finished()) return;
    leave_phase(now);
    if (running_.empty()) finish(now);
    process_.rethrow();
}

void Node::finish(std::uint64_t when) {
    finish_ = when;
    shard_->ended();
}

void Node::claim(Instruction& i) {
    if (receives(i.action_)) {
        check_colour(i.in_, "receives");
        if ((receiving_ >> i.in_ & 1U) != 0)
            fail(fmt::format("two receivers on colour {}", i.in_), "a wavelet would have two owners",
                 "Await the first before the second begins.");
    }
    if (sends(i.action_)) {
        check_colour(i.out_, "sends");
        if ((sending_ >> i.out_ & 1U) != 0)
            fail(fmt::format("two senders on colour {}", i.out_), "their wavelets would mix",
                 "Await the first before the second begins.");
    }
    FlowKey key;
    key.receives = receives(i.action_);
    key.sends = sends(i.action_);
    key.calculates = calculates(i.action_);
    if (key.receives) receiving_ |= 1U << (key.in = i.in_);
    if (key.sends) sending_ |= 1U << (key.out = i.out_);
    i.flow_ = &word_->flow(key, machine_->ramp_cycles(), machine_->data);
}

void Node::enlist(Instruction& i, std::uint64_t start) {
    i.flow_ = nullptr;
    const std::uint64_t now = shard_->now();
    if (i.wavelets_ > 0) {
        claim(i);
        running_.push_back(&i);
        if (start == 0)
            begin(i);
        else
            shard_->start_at(now + start, *this, i);
    } else {
        running_.push_back(&i);
        shard_->start_at(now + start - 1, *this, i);
    }
}

void Node::begin(Instruction& i) {
    if (i.wavelets_ == 0) {
        complete(i, shard_->now());
        return;
    }
    if (machine_->data) hold();
    word_->activate(i, lane());
    shard_->wake_now(*word_);
}

bool Node::execute(Instruction& i, std::coroutine_handle<> main) {
    const auto start = static_cast<std::uint64_t>(machine_->mesh.vector_start_cycles);
    const bool cycles = i.action_ == Action::cycles;
    if (!cycles && i.wavelets_ > 0) {
        enlist(i, start);
        main_ = main;
        return true;
    }
    if (cycles) computing_ = &i;
    const std::uint64_t duration = cycles ? i.cycles_ : start;
    if (duration == 0) {
        if (cycles) end_compute();
        return false;
    }
    main_ = main;
    if (i.computes_) word_->computing |= bit_of(lane());
    resume_main_at(shard_->now() + duration);
    return true;
}

Handle Node::start(Instruction&& i) {
    if (i.action_ == Action::cycles)
        fail("starts a compute, wait or task asynchronously", "only fabric instructions run beside the main thread",
             "co_await it.");
    const Mesh& mesh = machine_->mesh;
    const auto start = static_cast<std::uint64_t>(mesh.microthread_start_cycles) +
                       static_cast<std::uint64_t>(mesh.vector_start_cycles);
    if (i.wavelets_ == 0 && start == 0) return {};
    std::size_t free = 0;
    while (free < slots_.size() && slots_[free]->taken) ++free;
    if (free == static_cast<std::size_t>(mesh.microthreads))
        fail(fmt::format("starts more than {} asynchronous instructions at once", mesh.microthreads),
             fmt::format("the machine has {} microthreads", mesh.microthreads), "Await one before starting another.");
    if (free == slots_.size()) slots_.push_back(std::make_unique<Slot>());
    Slot& slot = *slots_[free];
    slot.instruction = std::move(i);
    slot.instruction.main_ = false;
    slot.instruction.cycles_ = free;
    slot.awaited = false;
    enlist(slot.instruction, start);
    slot.taken = true;
    return {this, static_cast<int>(free), slot.generation};
}

bool Node::slot_done(int slot, std::uint32_t generation) const {
    const Slot& s = *slots_[static_cast<std::size_t>(slot)];
    return s.generation != generation || !s.taken;
}

void Node::await_slot(int slot, std::coroutine_handle<> main) {
    slots_[static_cast<std::size_t>(slot)]->awaited = true;
    main_ = main;
}

bool Handle::await_ready() const { return node_ == nullptr || node_->slot_done(slot_, generation_); }
void Handle::await_suspend(std::coroutine_handle<> main) const { node_->await_slot(slot_, main); }
bool Instruction::await_suspend(std::coroutine_handle<> main) { return node_->execute(*this, main); }

void Node::complete(Instruction& i, std::uint64_t now) {
    if (i.wavelets_ > 0) {
        if (receives(i.action_)) receiving_ &= ~(1U << i.in_);
        if (sends(i.action_)) sending_ &= ~(1U << i.out_);
        if (calculates(i.action_)) busy_ += i.wavelets_;
        if (i.action_ == Action::mac) fma_ += i.b_.count;
    }
    running_.erase(std::find(running_.begin(), running_.end(), &i));
    if (i.main_) {
        resume_main_at(now + 1);
        return;
    }
    Slot& slot = *slots_[i.cycles_];
    slot.taken = false;
    ++slot.generation;
    if (slot.awaited) resume_main_at(now + 1);
    if (finished()) finish(now + 1);
}

void Node::enter_phase(std::string_view name) {
    leave_phase(shard_->now());
    phase_ = shard_->phase(name);
    phase_since_ = shard_->now();
}

void Node::leave_phase(std::uint64_t now) {
    if (phase_ == nullptr) return;
    phase_->end = std::max(phase_->end, now);
    phase_->pe_cycles += now - phase_since_;
    phase_ = nullptr;
}

std::optional<Colour> Node::colour_lacking() const {
    for (const Instruction* i : running_)
        if (i->flow_ != nullptr && receives(i->action_) && i->flow_->up->count(lane()) == 0) return i->in_;
    return std::nullopt;
}

std::optional<Colour> Node::colour_blocked() const {
    for (const Instruction* i : running_)
        if (i->flow_ != nullptr && sends(i->action_) && (i->flow_->down->room() >> lane() & 1U) == 0) return i->out_;
    return std::nullopt;
}

std::string Node::waiting() const {
    if (const auto c = colour_lacking()) return fmt::format("waits to receive colour {}", *c);
    if (const auto c = colour_blocked()) return fmt::format("waits to send colour {}", *c);
    return "waits for ever";
}

}  // namespace wb::fabric
