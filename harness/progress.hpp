#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

namespace wb {

/// Where progress goes and how; a value, so that a test can be the terminal.
struct ProgressSink {
    std::ostream* out;    ///< not owned
    int width = 80;       ///< columns
    bool redraw = false;  ///< one line drawn over again; else one plain line per finished item
    bool colour = false;
    std::function<double()> now_s;  ///< monotonic
};

/// stderr. Redraws only on a terminal that is not TERM=dumb; colour unless NO_COLOR is set and not empty.
ProgressSink stderr_sink();

/// `[ 3/12]  41 % ███████▌            ETA 1 min 05 s  gemm 4096`: share and ETA are weighted by estimated cost, and
/// the ETA corrects the estimates by what the items done so far really took. Not thread-safe.
class Progress {
public:
    /// One entry per item: what it is expected to take. Costs that are not positive and finite count as the median of
    /// the others (1 s if there are none).
    Progress(std::vector<double> cost_s, ProgressSink sink);
    /// Clears a drawn line, also on the way of an exception.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// The next item begins.
    void start(std::string name);
    /// Redraws, at most ten times a second; `detail` follows the name. Does nothing on plain output.
    void tick(const std::string& detail = "");
    /// The item begun last has ended; `outcome` is printed as it is ("1.25 ms ± 1 %", "skipped: ...").
    void finish(const std::string& outcome);
    /// Takes the drawn line away, so that other text can be written; the next tick draws it again.
    void clear();

    /// Cost done / all cost, in [0, 1]; the running item counts by its elapsed time, never as quite done.
    double share() const;
    /// Seconds from now to the end.
    double eta_s() const;

private:
    void draw(const std::string& detail);
    /// Real seconds per estimated second, from the finished items; 1 before the first.
    double pace() const;
    double running_cost() const;
    std::string counter() const;

    std::vector<double> cost_s_;
    ProgressSink sink_;
    double total_cost_ = 0, done_cost_ = 0, done_s_ = 0;
    std::size_t done_ = 0;
    bool running_ = false, drawn_ = false;
    std::string name_;
    double item_begin_s_ = 0, last_draw_s_ = -1e300;
};

/// "0.4 s", "12 s", "1 min 05 s", "2 h 07 min", "3 d 04 h": for waiting people, not for results.
std::string rough_duration(double seconds);

}  // namespace wb
