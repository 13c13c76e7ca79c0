#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace wb {

/// What the process tells its caller; documented in `waferbench --help`.
enum class Exit : int {
    ok = 0,            ///< done; nothing regressed
    usage = 1,         ///< command line, configuration or input file
    regression = 2,    ///< `compare` found a slowdown, or a changed exact value
    failed = 3,        ///< a case failed or its outputs were wrong
    inconclusive = 4,  ///< `compare --strict`: too noisy to tell
    baseline = 5,      ///< baseline or result file missing, damaged or of another schema
    environment = 6,   ///< oversubscribed, wrongly bound or throttled machine
    io = 7,            ///< results could not be written
    requeue = 75,      ///< stopped by SIGTERM; `run --resume` goes on
    timeout = 124,     ///< the budget for the whole run ran out, or a case never ended
    interrupted = 130  ///< Ctrl-C; what was measured is kept
};

/// A mistake the user can mend. Grammar of the text: "place: problem (why it matters). hint".
class Error : public std::runtime_error {
public:
    struct Parts {
        std::string place;    ///< file:line:column, option or object; may be empty
        std::string problem;  ///< what is wrong, without a full stop
        std::string why;      ///< why it matters; may be empty
        std::string hint;     ///< what to do, a whole sentence; may be empty
    };
    explicit Error(const Parts& parts, Exit code = Exit::usage) : std::runtime_error(text(parts)), code_(code) {}

    Exit code() const noexcept { return code_; }

private:
    static std::string text(const Parts& parts) {
        std::string out;
        if (!parts.place.empty()) out += parts.place + ": ";
        out += parts.problem;
        if (!parts.why.empty()) out += " (" + parts.why + ")";
        out += ".";
        if (!parts.hint.empty()) out += " " + parts.hint;
        return out;
    }
    Exit code_;
};

/// What another Error said, to stand within a sentence.
inline std::string without_stop(std::string text) {
    if (text.ends_with('.')) text.pop_back();
    return text;
}

/// A mistake of the programmer: a broken precondition.
class ContractError : public std::logic_error {
    using std::logic_error::logic_error;
};

[[noreturn]] inline void contract_failed(std::string_view condition, std::string_view file, int line) {
    throw ContractError(std::string(file) + ":" + std::to_string(line) +
                        ": contract broken: " + std::string(condition));
}

}  // namespace wb

/// Precondition of an internal interface; always on, throws ContractError.
#define WB_EXPECT(condition) ((condition) ? void(0) : ::wb::contract_failed(#condition, __FILE__, __LINE__))
