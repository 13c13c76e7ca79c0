// Reads and prints: compiled at -O1.
#include "harness/validate/verbs.hpp"

#include <CLI/CLI.hpp>
#include <memory>

#include "harness/validate/fit.hpp"
#include "harness/validate/validate.hpp"

namespace wb {
namespace {

constexpr const char* validate_footer = R"help(Examples:
  waferbench validate                                     every model against every published measurement
  waferbench validate --group "summa-*" --backend wafer   one model, some groups
  waferbench validate --points mine.csv --csv rows.csv    with measurements of your own; a row per point
  waferbench validate --points gpu.h5 --points-only       by what `waferbench run` measured on a machine of configs/systems
  waferbench validate --backend roofline                  nothing measured may lie below the bound
  waferbench validate --json errors.json --out errors.h5
  waferbench validate --update-bands                      derive the error bands anew

Exit codes: 0 all gates held; 1 usage or a bad row; 2 a gate was exceeded; 130 interrupted, nothing written.)help";

void define_validate(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<ValidateOptions>();
    auto* verb = app.add_subcommand("validate", "judge the models by what others measured");
    verb->footer(validate_footer);
    verb->add_option("--points", o->points,
                     "further CSV file of published measurements, or results of a run; repeatable")
        ->allow_extra_args(false);
    verb->add_flag("--points-only", o->points_only, "without those of configs/validation");
    verb->add_option("--group", o->group, "only this group; \"prefix*\" for several");
    verb->add_option("--system", o->system, "only this system");
    verb->add_option("--workload", o->workload, "only this family: gemm, decode, train_step, ...");
    verb->add_option("--backend", o->backends, "who is judged (default: all that model, simulate or emulate)")
        ->allow_extra_args(false);
    verb->add_option("--budget", o->budget, "leave out simulated cases expected to take longer")->capture_default_str();
    verb->add_option("--csv", o->csv, "write a row for each point and backend");
    verb->add_option("--json", o->json, "write the errors of each group and family");
    verb->add_option("--out,-o", o->out, "write points and errors as HDF5");
    verb->add_flag("--update-bands", o->update_bands, "derive the error bands anew and store them");
    verb->add_flag("--quiet,-q", o->quiet, "print gates only");
    verb->callback([o, context] {
        context.chosen = [o, context] {
            o->format = context.format();
            o->colour = context.colour;
            return validate(*o, context.files(), context.comm);
        };
    });
}

constexpr const char* fit_footer = R"help(Examples:
  waferbench fit                       every fitted constant of every system, from configs/validation/fits.toml
  waferbench fit my-wafer              those of one system
  waferbench fit my-wafer --write      and put the values into its file
  waferbench fit my-gpu --points gpu.h5   from what a run measured: errors before and after

Exit codes: 0 done; 1 usage or a bad file; 2 a constant is called fitted and no entry derives it; 130 interrupted.)help";

void define_fit(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<FitOptions>();
    auto* verb = app.add_subcommand("fit", "derive the fitted constants of system files from published measurements");
    verb->footer(fit_footer);
    verb->add_option("systems", o->systems, "only fits of these systems");
    verb->add_option("--points", o->points,
                     "further CSV file of published measurements, or results of a run; repeatable")
        ->allow_extra_args(false);
    verb->add_option("--budget", o->budget, "leave out simulated cases expected to take longer")->capture_default_str();
    verb->add_flag("--write", o->write, "put the values into the system files, in place");
    verb->callback([o, context] {
        context.chosen = [o, context] {
            o->format = context.format();
            o->colour = context.colour;
            return fit(*o, context.files(), context.comm);
        };
    });
}

}  // namespace

void define_validation_verbs(CLI::App& app, const VerbContext& context) {
    define_validate(app, context);
    define_fit(app, context);
}

}  // namespace wb
