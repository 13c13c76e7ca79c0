#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/fabric/program.hpp"
#include "models/fabric/result.hpp"

namespace wb::fabric {

inline constexpr std::uint64_t never = ~std::uint64_t{0};

/// The switch positions of one (router, colour).
struct Switch {
    Colour colour = 0;
    std::uint8_t positions = 0;
    bool ring = false;
    Route position[most_positions];
};

/// Of one 32-bit word on the fabric.
struct Wavelet {
    std::uint32_t payload = 0;
    bool control = false;
};

/// FIFO between a router and its PE, one per colour and direction: each entry may be taken from a cycle on.
struct RampPort {
    struct Entry {
        Wavelet wavelet;
        std::uint64_t ready;
    };
    Colour colour = 0;
    std::uint16_t head = 0, count = 0;
    std::vector<Entry> ring;

    bool room() const { return count < ring.size(); }
    bool ready(std::uint64_t t) const { return count > 0 && ring[head].ready <= t; }
    void push(Wavelet w, std::uint64_t ready_at) { ring[(head + count++) % ring.size()] = {w, ready_at}; }
    Wavelet pop() {
        const Wavelet w = ring[head].wavelet;
        head = static_cast<std::uint16_t>((head + 1U) % ring.size());
        --count;
        return w;
    }
};

/// What all PEs of a run share.
struct Machine {
    Mesh mesh;
    bool data = true;
    bool setting_up = true;
    std::uint64_t now = 0;
    std::uint64_t injected = 0, consumed = 0;
    std::map<std::string, Phase, std::less<>> phases;

    std::uint32_t port_capacity() const { return static_cast<std::uint32_t>(mesh.ramp_cycles) + 2; }
};

/// A PE as the simulator sees it: its coroutine, instructions, memory and ramp ports.
class Node {
public:
    Node(Machine& machine, int row, int column, int rows, int columns)
        : machine_(machine), pe_(*this, row, column, rows, columns) {}
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // The engine's side.
    /// Runs the program to its first co_await: set-up, and the start of cycle 0.
    void begin(Process process);
    /// Resumes the coroutine if it is due, then lets every instruction progress. True if anything happened.
    bool step(std::uint64_t t);
    /// The first cycle after t in which a timer of this PE ends; never if none.
    std::uint64_t next_timer(std::uint64_t t) const;
    bool finished() const { return process_.finished() && running_.empty(); }
    std::uint64_t finish_cycle() const { return finish_; }
    RampPort* in_port(Colour c) { return find(in_, c); }
    RampPort* out_port(Colour c) { return find(out_, c); }
    std::vector<RampPort>& in_ports() { return in_; }
    std::vector<RampPort>& out_ports() { return out_; }
    void open_in_port(Colour c) { open(in_, c); }
    std::vector<Switch>& switches() { return switches_; }
    const std::vector<Instruction*>& running() const { return running_; }
    std::uint32_t busy() const { return busy_; }
    std::int64_t sram() const { return sram_; }
    double fma() const { return fma_; }
    void leave_phase(std::uint64_t t);
    std::string place() const;
    Pe& pe() { return pe_; }
    Machine& machine() { return machine_; }
    // For the deadlock report: what this PE says it waits for; a colour it lacks, a colour it cannot send.
    std::string waiting();
    std::optional<Colour> colour_lacking();
    std::optional<Colour> colour_blocked();

    // The program's side.
    Vec alloc(Type type, std::size_t count);
    float load(const Vec& v, std::size_t i) const;
    void store(const Vec& v, std::size_t i, float value);
    std::span<float> f32(const Vec& v);
    void add_switch(const Switch& s);
    bool execute(Instruction& instruction, std::coroutine_handle<> main);
    Handle start(Instruction&& instruction);
    bool slot_done(int slot, std::uint32_t generation) const;
    void await_slot(int slot, std::coroutine_handle<> main);
    void enter_phase(std::string_view name);
    void check_colour(Colour c, const char* what) const;
    [[noreturn]] void fail(std::string problem, std::string why, std::string hint) const;

private:
    struct Slot {
        Instruction instruction;
        std::uint32_t generation = 0;
        bool taken = false, awaited = false;
    };

    static RampPort* find(std::vector<RampPort>& ports, Colour c);
    RampPort& open(std::vector<RampPort>& ports, Colour c);
    void claim(const Instruction& i);
    void enlist(Instruction& i, std::uint64_t start);
    bool progress(Instruction& i, std::uint64_t t, bool& emitted, bool& arithmetic);
    Wavelet apply(Instruction& i, Wavelet w);
    void complete(Instruction& i, std::uint64_t t);
    void resume(std::uint64_t t);

    Machine& machine_;
    Pe pe_;
    Process process_;
    std::coroutine_handle<> main_;
    std::uint64_t resume_at_ = never;
    Instruction* computing_ = nullptr;
    std::vector<Instruction*> running_;  // fabric instructions in the order they were begun
    std::vector<std::unique_ptr<Slot>> slots_;
    std::uint32_t receiving_ = 0, sending_ = 0;  // colours, a bit each
    std::vector<RampPort> in_, out_;
    std::vector<Switch> switches_;
    std::vector<std::byte> memory_;
    std::int64_t sram_ = 0;
    std::uint32_t busy_ = 0;
    std::uint64_t finish_ = 0;
    double fma_ = 0;
    Phase* phase_ = nullptr;
    std::uint64_t phase_since_ = 0;
};

constexpr bool receives(Action a) { return a != Action::send && a != Action::cycles; }
constexpr bool sends(Action a) { return a == Action::send || a >= Action::pass; }
constexpr bool calculates(Action a) {
    return a == Action::add || a == Action::max || a == Action::mac || a == Action::add_pass || a == Action::max_pass;
}

}  // namespace wb::fabric
