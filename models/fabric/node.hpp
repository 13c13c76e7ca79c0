#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/fabric/program.hpp"
#include "models/fabric/shard.hpp"

namespace wb::fabric {

/// A PE as the simulator sees it: its coroutine, its instructions and its memory. The ramps and the progress of
/// fabric instructions belong to its Word.
class Node {
public:
    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // The engine's side.
    /// `row`, `column`: of the mesh with its spares.
    void place_at(const Machine& machine, Shard& shard, Word& word, int row, int column);
    /// Its place in the program's mesh; a PE without is spare.
    void give(int row, int column, int rows, int columns);
    /// Its router only passes this colour on.
    void bypass(Colour colour, const Switch& s);
    /// Runs the program to its first co_await: set-up, and the start of cycle 0.
    void run(Process process);
    /// Resumes the coroutine, if it is still due now.
    void resume(std::uint64_t now);
    /// The start-up of an instruction is over.
    void begin(Instruction& i);
    /// Its last wavelet went through in cycle `now`.
    void complete(Instruction& i, std::uint64_t now);
    /// The datapath was taken from the main thread for this cycle.
    void delay() { ++resume_at_; }
    bool finished() const { return process_.finished() && running_.empty(); }
    std::uint64_t finish_cycle() const { return finish_; }
    const std::vector<Instruction*>& running() const { return running_; }
    std::uint32_t busy() const { return busy_; }
    std::int64_t sram() const { return sram_; }
    double fma() const { return fma_; }
    std::string place() const;
    [[noreturn]] void fail(std::string problem, std::string why, std::string hint) const;
    Pe& pe() { return pe_; }
    const Pe& pe() const { return pe_; }
    const Machine& machine() const { return *machine_; }
    int row() const { return row_; }
    int column() const { return column_; }
    int lane() const { return column_ % lanes; }
    // For the deadlock report: what this PE says it waits for; a colour it lacks, a colour it cannot send.
    std::string waiting() const;
    std::optional<Colour> colour_lacking() const;
    std::optional<Colour> colour_blocked() const;

    // The program's side.
    Vec alloc(Type type, std::size_t count);
    float load(const Vec& v, std::size_t i);
    void store(const Vec& v, std::size_t i, float value);
    std::span<float> f32(const Vec& v);
    void add_switch(Colour colour, const Switch& s);
    bool execute(Instruction& i, std::coroutine_handle<> main);
    Handle start(Instruction&& i);
    bool slot_done(int slot, std::uint32_t generation) const;
    void await_slot(int slot, std::coroutine_handle<> main);
    void enter_phase(std::string_view name);

private:
    struct Slot {
        Instruction instruction;
        std::uint32_t generation = 0;
        bool taken = false, awaited = false;
    };

    /// Memory for all that is allocated.
    void hold();
    void check_colour(Colour c, const char* what) const;
    void claim(Instruction& i);
    void enlist(Instruction& i, std::uint64_t start);
    void resume_main_at(std::uint64_t due);
    void end_compute();
    void leave_phase(std::uint64_t now);
    void finish(std::uint64_t when);

    const Machine* machine_ = nullptr;
    Shard* shard_ = nullptr;
    Word* word_ = nullptr;
    int row_ = 0, column_ = 0;
    Pe pe_{*this, 0, 0, 0, 0};
    Process process_;
    std::coroutine_handle<> main_;
    std::uint64_t resume_at_ = never;
    Instruction* computing_ = nullptr;
    std::vector<Instruction*> running_;  // fabric instructions in the order they were begun
    std::vector<std::unique_ptr<Slot>> slots_;
    std::uint32_t receiving_ = 0, sending_ = 0;  // colours, a bit each
    std::uint32_t routed_ = 0;                   // colours, a bit each
    std::byte* memory_ = nullptr;                // of held_ bytes, made when first used
    std::int64_t sram_ = 0, held_ = 0;           // bytes allocated by the program
    std::uint32_t busy_ = 0;
    std::uint64_t finish_ = 0;
    double fma_ = 0;
    Phase* phase_ = nullptr;
    std::uint64_t phase_since_ = 0;
};

}  // namespace wb::fabric
