#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/comm.hpp"
#include "harness/runner.hpp"
#include "harness/validate/question.hpp"

namespace wb {

/// What one backend says of one point.
struct Prediction {
    bool known = false;
    double value = 0;    ///< in the metric's unit
    std::string reason;  ///< why not known; else what was assumed
};

/// Asks backends, as a run would: the same life of a case, unverified. Collective where a backend is.
class Predictor {
public:
    struct Limits {
        double case_budget_s = 5;  ///< simulated: cases expected to take longer are left out
    };
    Predictor(const BackendSet& backends, Comm& comm, Runner::Hooks hooks, Limits limits);

    /// `published` are searched for the time of the other side of a ratio of energies that no backend knows.
    Prediction predict(const Question& question, const std::string& backend, const std::vector<Point>& published);
    bool stopped() const { return runner_.stopped() != Stop::none; }
    /// Forgets all times: constants have changed.
    void forget() { times_.clear(); }

private:
    struct Answer {
        bool ok = false;
        double time_s = 0;
        std::optional<double> energy_J;
        std::vector<MemoryUse> memory;
        std::string reason;
    };
    struct Energy {
        double joules = 0;
        std::string origin;
    };
    const Answer& ask(const Case& c, const std::string& backend);
    Answer run(const Case& c, const std::string& backend);
    void share(Answer& answer);
    Prediction time(const Question& question, const std::string& backend);
    Prediction search_units(const Question& question, const std::string& backend);
    Prediction program(const Question& question, const std::string& backend);
    Prediction memory(const Question& question, const std::string& backend);
    Prediction energy_ratio(const Question& question, const std::string& backend, const std::vector<Point>& published);
    Energy reference_energy(const Question& question, const std::vector<Point>& published);

    const BackendSet& backends_;
    Comm& comm_;
    Limits limits_;
    Runner runner_;
    std::map<std::string, Answer> times_;
};

}  // namespace wb
