// Reads and prints: compiled at -O1.
#include "harness/exchange_verbs.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <sstream>

#include "harness/google_benchmark.hpp"
#include "harness/publish.hpp"
#include "harness/result_file.hpp"

namespace wb {
namespace {

struct ExchangeOptions {
    std::string input, output;
    bool google_benchmark = false;
};

std::string text_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    if (!in || std::filesystem::is_directory(path) || !(out << in.rdbuf()))
        throw Error({path, "cannot be read", "it should hold what Google Benchmark wrote", "Is the name right?"});
    return out.str();
}

Exit import_file(const ExchangeOptions& o, Comm& comm) {
    if (comm.rank() != 0) return Exit::ok;
    const GoogleBenchmarks read = from_google_benchmark(text_of(o.input), o.input);
    const std::string out =
        o.output.empty() ? std::filesystem::path(o.input).replace_extension(".h5").string() : o.output;
    write_results(out, read.set);
    std::size_t failed = 0, samples = 0;
    for (const Result& r : read.set.results) {
        failed += r.m.status == Status::failed;
        samples += r.m.samples_s.size();
    }
    fmt::print("{}: {} benchmarks, {} samples", o.input, read.set.results.size(), samples);
    if (failed > 0) fmt::print(", {} failed", failed);
    if (read.left_out > 0) fmt::print(", {} entries without a time left out", read.left_out);
    fmt::print(" -> {}\n", out);
    return Exit::ok;
}

Exit export_file(const ExchangeOptions& o, Comm& comm) {
    if (comm.rank() != 0) return Exit::ok;
    if (!o.google_benchmark)
        throw Error({"export", "needs a format", "there is one so far", "Add --google-benchmark."});
    const std::string text = to_google_benchmark(read_results(o.input));
    if (o.output.empty())
        std::fputs(text.c_str(), stdout);
    else
        replace_file(o.output, std::as_bytes(std::span(text)));
    return Exit::ok;
}

}  // namespace

void define_exchange_verbs(CLI::App& app, const VerbContext& context) {
    const auto in = std::make_shared<ExchangeOptions>(), out = std::make_shared<ExchangeOptions>();
    auto* import_verb = app.add_subcommand("import", "take in what a Google Benchmark program wrote as JSON");
    import_verb->footer(
        "Example:\n  gemm_bench --benchmark_out=gemm.json --benchmark_repetitions=9\n"
        "  waferbench import gemm.json -o gemm.h5 && waferbench show gemm.h5");
    import_verb->add_option("json", in->input, "file of --benchmark_out, format json")->required();
    import_verb->add_option("--output,-o", in->output, "results file (default: the same name with .h5)");
    import_verb->callback([in, context] { context.chosen = [in, context] { return import_file(*in, context.comm); }; });
    auto* export_verb = app.add_subcommand("export", "write stored results in another program's form");
    export_verb->footer(
        "Example:\n  waferbench export --google-benchmark before.h5 -o before.json\n"
        "  compare.py benchmarks before.json after.json     (of Google Benchmark's tools)");
    export_verb->add_option("file", out->input, "results .h5 or .journal")->required();
    export_verb->add_flag("--google-benchmark", out->google_benchmark, "JSON as Google Benchmark writes it");
    export_verb->add_option("--output,-o", out->output, "file to write (default: standard output)");
    export_verb->callback(
        [out, context] { context.chosen = [out, context] { return export_file(*out, context.comm); }; });
}

}  // namespace wb
