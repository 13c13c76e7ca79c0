#include "harness/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "core/error.hpp"
#include "harness/stats.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

constexpr double redraw_every_s = 0.1;

std::string_view environment(const char* key) {
    const char* value = std::getenv(key);
    return value ? value : "";
}

bool known(double cost) { return cost > 0 && std::isfinite(cost); }

/// A bar of `width` columns, in eighths of a column.
std::string bar(double share, int width) {
    static constexpr const char* eighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int filled = static_cast<int>(share * width * 8);
    std::string out;
    for (int i = 0; i < filled / 8; ++i) out += "█";
    out += eighths[filled % 8];
    const int used = filled / 8 + (filled % 8 ? 1 : 0);
    return out + std::string(static_cast<std::size_t>(width - used), ' ');
}

}  // namespace

ProgressSink stderr_sink() {
    winsize size{};
    const bool terminal = isatty(STDERR_FILENO) && environment("TERM") != "dumb";
    const bool sized = terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return {&std::cerr, sized ? size.ws_col : 80, terminal, terminal && environment("NO_COLOR").empty(),
            [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }};
}

std::string rough_duration(double seconds) {
    if (!std::isfinite(seconds) || seconds < 0) return "?";
    if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
    if (seconds > 1e9) return "years";
    const long s = std::lround(seconds);
    if (s < 60) return fmt::format("{} s", s);
    if (s < 3600) return fmt::format("{} min {:02} s", s / 60, s % 60);
    const long minutes = std::lround(seconds / 60);
    if (minutes < 24 * 60) return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
    const long hours = std::lround(seconds / 3600);
    return fmt::format("{} d {:02} h", hours / 24, hours % 24);
}

Progress::Progress(std::vector<double> cost_s, ProgressSink sink) : cost_s_(std::move(cost_s)), sink_(std::move(sink)) {
    WB_EXPECT(sink_.out && sink_.now_s);
    std::vector<double> costs;
    std::copy_if(cost_s_.begin(), cost_s_.end(), std::back_inserter(costs), known);
    const double typical = median(costs).value_or(1);
    for (double& cost : cost_s_) {
        if (!known(cost)) cost = typical;
        total_cost_ += cost;
    }
}

Progress::~Progress() {
    try {
        clear();
    } catch (...) {  // a stream that throws must not end the process: the line stays
    }
}

void Progress::start(std::string name) {
    WB_EXPECT(!running_ && done_ < cost_s_.size());
    running_ = true;
    name_ = std::move(name);
    item_begin_s_ = sink_.now_s();
    tick();
}

void Progress::tick(const std::string& detail) {
    if (!sink_.redraw) return;
    const double now = sink_.now_s();
    if (now - last_draw_s_ < redraw_every_s) return;
    last_draw_s_ = now;
    draw(detail);
}

void Progress::finish(const std::string& outcome) {
    WB_EXPECT(running_);
    done_s_ += std::max(0.0, sink_.now_s() - item_begin_s_);
    done_cost_ += cost_s_[done_];
    ++done_;
    running_ = false;
    clear();
    std::string line = counter() + " " + name_;
    if (!outcome.empty()) line += ": " + outcome;
    if (!sink_.redraw && done_ < cost_s_.size()) line += fmt::format("  (ETA {})", rough_duration(eta_s()));
    *sink_.out << line << '\n' << std::flush;
    last_draw_s_ = -1e300;
}

void Progress::clear() {
    if (!drawn_) return;
    *sink_.out << "\r\x1b[K" << std::flush;
    drawn_ = false;
}

double Progress::pace() const { return done_ == 0 ? 1 : done_s_ / done_cost_; }

double Progress::running_cost() const {
    if (!running_) return 0;
    const double cost = cost_s_[done_], elapsed = std::max(0.0, sink_.now_s() - item_begin_s_),
                 expected = cost * pace();
    return expected > 0 ? std::min(elapsed / expected, 0.99) * cost : 0;
}

double Progress::share() const {
    if (done_ == cost_s_.size()) return 1;
    return std::min((done_cost_ + running_cost()) / total_cost_, 0.999);
}

double Progress::eta_s() const {
    if (done_ == cost_s_.size()) return 0;
    return std::max(0.0, (total_cost_ - done_cost_ - running_cost()) * pace());
}

std::string Progress::counter() const {
    const std::size_t n = cost_s_.size(), digits = fmt::formatted_size("{}", n);
    return fmt::format("[{:>{}}/{}]", std::min(done_ + (running_ ? 1 : 0), n), digits, n);
}

void Progress::draw(const std::string& detail) {
    const int bar_width = std::clamp(sink_.width / 4, 0, 30);
    const std::string text = name_ + (detail.empty() ? "" : "  " + detail);
    const std::string head = fmt::format("{} {:3d} % ", counter(), static_cast<int>(100 * share()));
    const std::string tail = fmt::format(" ETA {}  {}", rough_duration(eta_s()), text);
    // One column stays free: a full line makes some terminals wrap.
    const auto room = static_cast<std::size_t>(std::max(1, sink_.width - 1));
    if (display_width(head) + static_cast<std::size_t>(bar_width) + 4 > room) {
        *sink_.out << "\r" << fit(head + text, room) << "\x1b[K" << std::flush;
    } else {
        const std::string drawn_bar = bar(share(), bar_width);
        const std::string tint = sink_.colour ? "\x1b[36m" : "", plain = sink_.colour ? "\x1b[0m" : "";
        *sink_.out << "\r" << head << tint << drawn_bar << plain
                   << fit(tail, room - display_width(head) - static_cast<std::size_t>(bar_width)) << "\x1b[K"
                   << std::flush;
    }
    drawn_ = true;
}

}  // namespace wb
