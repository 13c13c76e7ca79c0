#include "harness/signals.hpp"

#include <csignal>

namespace wb {
namespace {

volatile std::sig_atomic_t last_signal = 0;  // a handler can reach nothing else

void remember(int signal) {
    last_signal = signal;
    std::signal(signal, SIG_DFL);
}

}  // namespace

Signals::Signals() {
    last_signal = 0;
    std::signal(SIGINT, remember);
    std::signal(SIGTERM, remember);
    std::signal(SIGXFSZ, SIG_IGN);
    std::signal(SIGPIPE, SIG_IGN);
}

Signals::~Signals() {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGTERM, SIG_DFL);
}

Stop Signals::asked() const {
    if (last_signal == SIGINT) return Stop::interrupt;
    if (last_signal == SIGTERM) return Stop::terminate;
    return Stop::none;
}

}  // namespace wb
