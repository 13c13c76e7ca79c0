#include "models/fabric/node.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "core/error.hpp"
#include "models/fabric/half.hpp"

namespace wb::fabric {

std::string Node::place() const { return fmt::format("PE ({}, {})", pe_.row, pe_.column); }

void Node::fail(std::string problem, std::string why, std::string hint) const {
    throw Error({place(), std::move(problem), std::move(why), std::move(hint)});
}

void Node::check_colour(Colour c, const char* what) const {
    if (c >= machine_.mesh.colours)
        fail(fmt::format("{} colour {}", what, c),
             fmt::format("the machine has {} colours, 0 to {}", machine_.mesh.colours, machine_.mesh.colours - 1),
             "Use fewer colours.");
}

RampPort* Node::find(std::vector<RampPort>& ports, Colour c) {
    for (RampPort& p : ports)
        if (p.colour == c) return &p;
    return nullptr;
}

RampPort& Node::open(std::vector<RampPort>& ports, Colour c) {
    if (RampPort* p = find(ports, c)) return *p;
    RampPort p;
    p.colour = c;
    p.ring.resize(machine_.port_capacity());
    ports.push_back(std::move(p));
    return ports.back();
}

void Node::add_switch(const Switch& s) {
    check_colour(s.colour, "routes");
    if (!machine_.setting_up)
        fail(fmt::format("routes colour {} at cycle {}", s.colour, machine_.now), "routes are static",
             "Set all routes before the first co_await.");
    for (const Switch& old : switches_)
        if (old.colour == s.colour)
            fail(fmt::format("routes colour {} twice", s.colour), "", "Give all its positions in one call.");
    for (int i = 0; i < s.positions; ++i)
        if (s.position[i].to.empty())
            fail(fmt::format("route to nowhere: colour {} has no destination", s.colour), "its wavelets would stay",
                 "");
    switches_.push_back(s);
}

void Node::begin(Process process) {
    process_ = std::move(process);
    main_ = process_.handle();
    resume(0);
}

void Node::resume(std::uint64_t t) {
    resume_at_ = never;
    if (computing_ != nullptr) {
        busy_ += static_cast<std::uint32_t>(computing_->busy_);
        fma_ += computing_->fma_;
        if (machine_.data && computing_->body_) computing_->body_();
        computing_ = nullptr;
    }
    main_.resume();
    if (!process_.finished()) return;
    process_.rethrow();
    finish_ = std::max(finish_, t);
    leave_phase(t);
}

void Node::claim(const Instruction& i) {
    if (receives(i.action_)) {
        check_colour(i.in_, "receives");
        if (receiving_ >> i.in_ & 1U)
            fail(fmt::format("two receivers on colour {}", i.in_), "a wavelet would have two owners",
                 "Await the first before the second begins.");
        receiving_ |= 1U << i.in_;
        open(in_, i.in_);
    }
    if (sends(i.action_)) {
        check_colour(i.out_, "sends");
        if (sending_ >> i.out_ & 1U)
            fail(fmt::format("two senders on colour {}", i.out_), "their wavelets would mix",
                 "Await the first before the second begins.");
        sending_ |= 1U << i.out_;
        open(out_, i.out_);
    }
}

void Node::enlist(Instruction& i, std::uint64_t start) {
    i.first_ = machine_.now + start;
    if (i.wavelets_ > 0) claim(i);
    running_.push_back(&i);
}

bool Node::execute(Instruction& i, std::coroutine_handle<> main) {
    const auto start = static_cast<std::uint64_t>(machine_.mesh.vector_start_cycles);
    const std::uint64_t now = machine_.now;
    if (i.action_ != Action::cycles && i.wavelets_ > 0) {
        enlist(i, start);
        main_ = main;
        return true;
    }
    const std::uint64_t duration = i.action_ == Action::cycles ? i.cycles_ : start;
    computing_ = &i;
    main_ = main;
    if (duration > 0) {
        resume_at_ = now + duration;
        return true;
    }
    fma_ += i.fma_;
    if (machine_.data && i.body_) i.body_();
    computing_ = nullptr;
    return false;
}

Handle Node::start(Instruction&& i) {
    if (i.action_ == Action::cycles)
        fail("starts a compute, wait or task asynchronously", "only fabric instructions run beside the main thread",
             "co_await it.");
    const auto& mesh = machine_.mesh;
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
    enlist(slot.instruction, start);
    slot.taken = true;
    slot.awaited = false;
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

void Node::complete(Instruction& i, std::uint64_t t) {
    if (i.wavelets_ > 0) {
        if (receives(i.action_)) receiving_ &= ~(1U << i.in_);
        if (sends(i.action_)) sending_ &= ~(1U << i.out_);
    }
    finish_ = std::max(finish_, t + 1);
    if (i.main_) {
        resume_at_ = t + 1;
        return;
    }
    Slot& slot = *slots_[i.cycles_];
    slot.taken = false;
    ++slot.generation;
    if (slot.awaited) resume_at_ = t + 1;
}

bool Node::progress(Instruction& i, std::uint64_t t, bool& emitted, bool& arithmetic) {
    if (t < i.first_) return false;
    const Action a = i.action_;
    RampPort* in = receives(a) ? find(in_, i.in_) : nullptr;
    RampPort* out = sends(a) ? find(out_, i.out_) : nullptr;
    if (in != nullptr && !in->ready(t)) return false;
    if (out != nullptr && (emitted || !out->room())) return false;
    if (calculates(a) && arithmetic) return false;
    Wavelet w;
    if (in != nullptr) {
        w = in->pop();
        ++machine_.consumed;
    }
    if (machine_.data) w = apply(i, w);
    if (calculates(a)) {
        arithmetic = true;
        ++busy_;
        if (a == Action::mac) fma_ += std::min(per_wavelet(i.b_.type), i.b_.count - i.done_ * per_wavelet(i.b_.type));
    }
    ++i.done_;
    if (out != nullptr) {
        w.control = i.advance_ && i.done_ == i.wavelets_;
        out->push(w, t + static_cast<std::uint64_t>(machine_.mesh.ramp_cycles));
        ++machine_.injected;
        emitted = true;
    }
    return true;
}

bool Node::step(std::uint64_t t) {
    bool happened = false;
    if (resume_at_ == t) {
        resume(t);
        happened = true;
    }
    bool emitted = false, arithmetic = false;
    for (std::size_t k = 0; k < running_.size();) {
        Instruction& i = *running_[k];
        if (i.wavelets_ > 0 && progress(i, t, emitted, arithmetic)) happened = true;
        const bool over = i.wavelets_ == 0 ? t + 1 >= i.first_ : i.done_ == i.wavelets_;
        if (over) {
            running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(k));
            complete(i, t);
            happened = true;
        } else {
            ++k;
        }
    }
    if (arithmetic && computing_ != nullptr && computing_->computes_) ++resume_at_;
    return happened;
}

std::uint64_t Node::next_timer(std::uint64_t t) const {
    std::uint64_t next = resume_at_;
    const auto consider = [&](std::uint64_t when) {
        if (when > t && when < next) next = when;
    };
    for (const Instruction* i : running_) consider(i->wavelets_ == 0 ? i->first_ - 1 : i->first_);
    for (const RampPort& p : in_)
        if (p.count > 0) consider(p.ring[p.head].ready);
    for (const RampPort& p : out_)
        if (p.count > 0) consider(p.ring[p.head].ready);
    return next;
}

void Node::enter_phase(std::string_view name) {
    leave_phase(machine_.now);
    auto found = machine_.phases.find(name);
    if (found == machine_.phases.end()) {
        Phase p;
        p.name = name;
        p.begin = machine_.now;
        found = machine_.phases.emplace(std::string(name), p).first;
    }
    phase_ = &found->second;
    phase_since_ = machine_.now;
}

void Node::leave_phase(std::uint64_t t) {
    if (phase_ == nullptr) return;
    phase_->end = std::max(phase_->end, t);
    phase_->pe_cycles += t - phase_since_;
    phase_ = nullptr;
}

std::optional<Colour> Node::colour_lacking() {
    for (const Instruction* i : running_)
        if (i->wavelets_ > 0 && receives(i->action_) && find(in_, i->in_)->count == 0) return i->in_;
    return std::nullopt;
}

std::optional<Colour> Node::colour_blocked() {
    for (const Instruction* i : running_)
        if (i->wavelets_ > 0 && sends(i->action_) && !find(out_, i->out_)->room()) return i->out_;
    return std::nullopt;
}

std::string Node::waiting() {
    if (const auto c = colour_lacking()) return fmt::format("waits to receive colour {}", *c);
    if (const auto c = colour_blocked()) return fmt::format("waits to send colour {}", *c);
    return "waits for ever";
}

}  // namespace wb::fabric
