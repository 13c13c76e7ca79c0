#pragma once

#include <deque>
#include <list>
#include <map>
#include <stdexcept>

#include "tests/models/fabric/script.hpp"

namespace wb::fabric::test {

/// The mesh, cycle by cycle, as plainly as it can be said: every cycle looks at every router, colour and instruction.
/// It shares nothing with the simulator but the facts of the machine, and judges it.
class Oracle {
public:
    explicit Oracle(const Script& script);

    /// Runs until the end or until so many cycles have passed without one.
    Outcome run(std::uint64_t most_cycles = 100000);

private:
    struct Wavelet {
        std::uint32_t payload = 0;  ///< the bits of one f32, or of two f16, the first one low
        bool control = false;
    };
    struct Timed {
        Wavelet wavelet;
        std::uint64_t ready;  ///< first cycle in which it may leave the port
    };
    struct Router {  ///< of one colour
        std::vector<Position> positions;
        bool ring = false;
        std::size_t position = 0;
        std::deque<Wavelet> queue;
        const Position* now() const { return positions.empty() ? nullptr : &positions[position]; }
    };
    struct Active {
        int step;
        std::uint64_t first;      ///< cycle of the first progress
        int done = 0, total = 0;  ///< wavelets, or cycles of a compute
    };
    struct Touch {
        const Step* by;
        int region, element;
        bool writes;
    };
    struct Pe {
        std::map<int, std::deque<Timed>> in, out;  ///< ports of the ramp by colour
        std::vector<std::vector<float>> memory;
        std::list<Active> active;              ///< in the order begun
        std::map<int, std::uint64_t> resumes;  ///< finished steps: when whoever awaits them goes on
        std::size_t next = 0;
        int blocked_on = -1;  ///< step
        std::uint64_t sleeps_until = 0;
        std::vector<Touch> touched;  ///< by fabric instructions in this cycle
        bool finished = false;
    };
    struct Refused : std::logic_error {
        using std::logic_error::logic_error;
    };
    struct Move {
        int node, colour;
    };
    bool run_main(int node);
    bool begin(int node, int step);
    void check_rules(int node, const Step& s) const;
    Outcome run_all(std::uint64_t most_cycles);
    std::vector<Move> router_moves() const;
    std::vector<Move> injections() const;
    bool can_leave(int node, int colour, const bool (&taken)[5]) const;
    bool progress(int node);
    bool fabric_progress(int node, Active& a, bool& emitted, bool& arithmetic);
    void forward(const Move& m);
    void inject(const Move& m);
    bool timer_pending() const;
    std::uint64_t left_over() const;
    Outcome outcome(End end) const;

    void touch(int node, const Step& by, const View& v, int i, bool writes);

    bool half(int node, const View& v) const;
    bool carried_in_halves(int node, const Step& s) const;
    float load(int node, const View& v, int i) const;
    void store(int node, const View& v, int i, float value);
    Wavelet execute(int node, const Step& s, int wavelet, const Wavelet& in);
    void finish_compute(int node, const Step& s);
    int neighbour(int node, int side) const;
    const Router& router(int node, int colour) const;
    Router& router(int node, int colour);

    const Script& script_;
    std::vector<int> colours_;  ///< sorted
    std::vector<std::map<int, Router>> routers_;
    std::vector<Pe> pes_;
    std::uint64_t now_ = 0;
    Outcome result_;
};

}  // namespace wb::fabric::test
