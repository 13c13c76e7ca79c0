#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/case.hpp"
#include "core/comm.hpp"
#include "core/measurement.hpp"

namespace wb {

/// Yes, or the reason why not.
struct Support {
    bool yes = true;
    std::string reason;
    static Support no(std::string reason) { return {false, std::move(reason)}; }
};

/// One stored tensor instance of the whole (unsharded) graph after a run, as real numbers.
struct Output {
    std::string name;
    TensorId tensor;
    std::int64_t instance = 0;
    DType dtype = DType::f32;
    std::vector<double> values;
};
using Outputs = std::vector<Output>;

/// One element of an output as it should be.
struct SpotValue {
    TensorId tensor;
    std::int64_t element = 0;
    double value = 0;
};

struct ResourceUse {
    std::vector<MemoryUse> memory;
    std::vector<CommUse> communication;  ///< of one run, on this rank
    std::vector<PhaseUse> phases;        ///< of a composed workload: what this rank saw of them
    std::vector<Series> series;
    std::vector<Grid> grids;  ///< of any size; the harness thins them out
    std::optional<Joules> energy;
    Flops useful, overhead;  ///< credited on this rank for one run
    std::string mapping, detail;
    Band band;
    Verification verification;  ///< where a session has judged its own data
};

/// A case made ready on one rank. run() is the only thing ever timed.
class Session {
public:
    virtual ~Session() = default;
    virtual Sample run() = 0;
    /// The outputs of the last run and everything it changed, whole on rank 0 (collective); nothing if the backend
    /// computes none.
    virtual std::optional<Outputs> outputs() { return std::nullopt; }
    /// The declared outputs of the last run alone (collective); cheaper where a run changes weights.
    virtual std::optional<Outputs> declared_outputs() { return outputs(); }
    /// Puts NaN into every output, so that one that is never written cannot pass.
    virtual void poison() {}
    virtual ResourceUse usage() const = 0;
};

/// One way to answer a case: on real hardware, by simulation or by formula.
class Backend {
public:
    virtual ~Backend() = default;
    virtual Kind kind() const = 0;
    virtual Support supports(const Case& c, int ranks) const = 0;
    /// Machines of this kind are its business; an experiment that names no backends is spared the refusals of others.
    virtual bool suits(SystemKind) const { return true; }
    /// Takes graphs of phases whole, because its phases share memory. Else the harness asks it phase by phase.
    virtual bool composes() const { return false; }
    /// Allocates, shards and places; never timed. Collective over `comm`.
    virtual std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const = 0;
    /// False: its sessions have no outputs that a judge could compare.
    virtual bool has_outputs(const Case&) const { return kind() != Kind::bound && kind() != Kind::modelled; }
    /// True: all ranks run each case together. False: one rank computes it alone.
    virtual bool collective() const { return kind() == Kind::measured || kind() == Kind::emulated; }
    /// Reads Mapping::rows, columns and algorithm. Where it does not, cases that differ in these alone are one.
    virtual bool takes_mesh() const { return kind() == Kind::simulated || kind() == Kind::modelled; }
    /// The words it knows for Mapping::algorithm; empty: it does not say.
    virtual std::vector<std::string> algorithms() const { return {}; }
    /// For the judge: a few random elements of the outputs of a graph of one op at its full size, recomputed from the
    /// fills alone. Empty where it cannot.
    virtual std::vector<SpotValue> spot_values(const Case&, int /*count*/) const { return {}; }
    /// How it would spread a model whose case names no mapping: the fastest way that fits. Nothing if it does not
    /// search; throws Error where no way fits.
    virtual std::optional<Mapping> best_mapping(const Case&) const { return std::nullopt; }
    /// Expected seconds of one run and bytes held, for plan; 0 when unknown.
    virtual double estimate_s(const Case&) const { return 0; }
    /// What a unit would hold, whether it fits or not; empty if the backend cannot say.
    virtual std::vector<MemoryUse> memory_of(const Case&) const { return {}; }
    /// Tokens of one sequence whose cache fits beside the weights of a decode case; its mapping's algorithm names the
    /// manager of the cache. Nothing if the backend cannot say.
    virtual std::optional<double> cache_tokens(const Case&) const { return std::nullopt; }
    /// What it takes to move weights and cache from the placement of a prefill case to that of a decode case. Nothing
    /// if the backend cannot say.
    virtual std::optional<Seconds> transition(const Case& /*from*/, const Case& /*to*/) const { return std::nullopt; }
};

/// A row of the table of backends the build generates.
struct BackendRow {
    std::string name, about;
    std::unique_ptr<Backend> (*make)();  ///< null: not built
    std::string missing;                 ///< why it was not built
    bool on_request = false;             ///< used only where an experiment names it
};

}  // namespace wb
