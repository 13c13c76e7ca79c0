#include <doctest/doctest.h>

#include <cctype>

#include "tests/cli/sandbox.hpp"

namespace {

using cli::Outcome;
using cli::Sandbox;

/// One mistake: what is typed behind `run e.toml`, and the line that must come back.
struct Mistake {
    std::vector<std::string> typed;
    std::string line;
};

}  // namespace

TEST_CASE("a mistake in an experiment is refused with its place and a hint, and nothing is written") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const std::vector<Mistake> mistakes{
        {{"--set", "workload.0.mm=3"},
         "waferbench: --set workload.0.mm: unknown key \"mm\" in [workload] (a key that nobody reads would be "
         "ignored). "
         "Known: use, m, n, k, batch, trans_a, trans_b, dtype, zip, exclude.\n"},
        {{"--set", "protocol.min_tine=\"1 s\""}, "Did you mean \"min_time\"?\n"},
        {{"--set", "workload.0.use=gem"},
         "waferbench: --set workload.0.use: there is no workload \"gem\". Did you mean \"gemm\"?\n"},
        {{"--set", "workload.0.dtype=f23"}, "Did you mean \"f32\"?\n"},
        {{"--set", "protocol.min_time=5"},
         "waferbench: --set protocol.min_time: \"5\" has no unit (a time is in seconds). Write \"5 s\".\n"},
        {{"--set", "protocol.min_time=\"5 sec\""},
         "waferbench: --set protocol.min_time: \"5 sec\" has the unknown unit \"sec\" (a time is in seconds). Did you "
         "mean \"5 s\"?\n"},
        {{"--set", "protocol.min_samples=0"}, "0 to 1000 samples after 1 warm-up runs cannot be taken"},
        {{"--set", "system.0.use=h100-sx"},
         "waferbench: --set system.0.use: there is no system \"h100-sx\". Did you mean \"h100-sxm\"?\n"},
        {{"--set", "system.0.backends=[\"fak\"]"},
         "waferbench: e.toml:10:7: there is no backend \"fak\". Did you mean \"fake\"?\n"},
        {{"--set", "system.0.units=0"},
         "waferbench: --set system.0.units: units is 0 (it must be a whole number of at least 1).\n"},
        {{"--set", "system.0.mesh=32x32"},
         "waferbench: --set system.0.mesh: h100-sxm has no mesh of PEs (only a wafer has one). Leave mesh out.\n"},
        {{"--set", "system.0.use=wse2", "--set", "system.0.mesh=32"},
         "waferbench: --set system.0.mesh: 32 is no mesh (a mesh is rows x columns of PEs). Write \"32x32\".\n"},
        {{"--set", "system.0.use=wse2", "--set", "system.0.mesh=[\"8x8\", \"8x0\"]"},
         "waferbench: --set system.0.mesh: \"8x0\" is no mesh (a mesh is rows x columns of PEs). Write \"32x32\".\n"},
        {{"--set", "system.0.use=wse2", "--set", "system.0.mesh=[]"}, "mesh has no values (nothing would run)."},
        {{"--set", "system.0.use=wse2", "--set", "system.0.mesh=995x750"},
         "waferbench: --set system.0.mesh: a mesh of 995x750 is larger than that of wse2 (a program gets 994x750 PEs, "
         "rows x columns). Use fewer PEs.\n"},
        {{"--set", "system.0.algorithm=summa"},
         "waferbench: e.toml:10:7: no backend of h100-sxm has an algorithm \"summa\" (it would be ignored).\n"},
        {{"--set", "workload.0.m=0"},
         "waferbench: e.toml:4:7: workload \"gemm\" with m=0 n=32 k=32 batch=1 trans_a=false trans_b=false dtype=f32 "
         "cannot be built "
         "(m: is 0 (a size must be at least 1)).\n"},
        {{"--set", "workload.0.m=-3"}, "(m: is -3 (a size must be at least 1)).\n"},
        {{"--set", "workload.0.m=\"big\""}, "(m: \"big\" is not a whole number).\n"},
        {{"--set", "workload.0.m=\"range(8, 1, +1)\""},
         "\"range(8, 1, +1)\" is no range (it never arrives at its end)."},
        {{"--set", "workload.0.m=\"range(1, 9\""}, "is no range (the closing bracket is missing)."},
        {{"--set", "workload.0.m=[]"}, "m has no values (the sweep would be empty).\n"},
        {{"--set", "workload.0.m=1000000000000", "--set", "workload.0.k=1000000000000"},
         "(tensor \"a\": shape [1000000000000, 1000000000000] overflows (its elements cannot be counted in 64 bits). "
         "Use a smaller size).\n"},
        {{"--set", "workload.0.m=9223372036854775807"}, "overflows (its elements cannot be counted in 64 bits)"},
        {{"--set", "workload.0.m=99999999999999999999"}, "(m: \"99999999999999999999\" is not a whole number).\n"},
        {{"--set", "workload.0.zip=[\"m\", \"q\"]"}, "zip names \"q\", which is no axis here.\n"},
        {{"--set", "workload.0.exclude=[{q = 1}]"}, "exclude names \"q\", which is no parameter.\n"},
        {{"--set", "novalue"}, "waferbench: --set novalue: has no \"=\". Write --set protocol.min_time=\"0.5 s\".\n"},
        {{"--filter", "m=33"},
         "waferbench: --filter: \"m=33\" leaves no case (there is nothing to run). `waferbench plan` lists them.\n"},
        {{"--budget", "5"}, "waferbench: --budget: \"5\" has no unit (a time is in seconds). Write \"5 s\".\n"},
        {{"--output", "x.csv"},
         "waferbench: x.csv: does not end in .h5 (results are HDF5 files). Name it like results/mine.h5.\n"},
        {{"--configs", "nowhere"},
         "waferbench: --configs nowhere: is no folder (systems, models and experiments are looked up there).\n"},
    };
    for (const Mistake& m : mistakes) {
        std::vector<std::string> arguments{"run", "e.toml"};
        arguments.insert(arguments.end(), m.typed.begin(), m.typed.end());
        const Outcome o = box.run(arguments);
        CAPTURE(m.line);
        CAPTURE(o.err);
        CHECK(o.code == 1);
        CHECK(o.err.find(m.line) != std::string::npos);
        CHECK(o.out.empty());
        CHECK(!cli::fs::exists(box / "results"));
    }
}

TEST_CASE("shapes that do not fit name the operator") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const Outcome o = box.run(
        {"run", "e.toml", "--set",
         "workload.0={use = \"attention\", heads = 8, kv_heads = 3, seq_q = 16, head_dim = 8, dtype = \"f32\"}"});
    CAPTURE(o.err);
    CHECK(o.code == 1);
    CHECK(o.err.find("attention") != std::string::npos);
    CHECK(o.err.find("8") != std::string::npos);
    CHECK(o.err.find("3") != std::string::npos);
}

TEST_CASE("what is too large is refused with the number, before anything is allocated") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const std::vector<std::string> million{"run",      "e.toml",
                                           "--format", "csv",
                                           "--set",    "workload.0.m=1000000",
                                           "--set",    "workload.0.n=1000000",
                                           "--set",    "workload.0.k=1000000",
                                           "--set",    "system.0.backends=[\"reference\", \"roofline\"]"};
    const Outcome o = box.run(million);
    CHECK(o.code == 0);
    CHECK(o.says("reference,measured,skipped,,,,,2e+18 FLOP are more than the 2e+11 that plain loops may take\n"));
    CHECK(o.says("roofline,bound,skipped,,,,,needs 12.0 TB and 1 x h100-sxm hold 80.0 GB\n"));
    CHECK(o.rss_bytes < 200e6);
    const Outcome memory = box.run({"run", "e.toml", "--format", "csv", "-o", "m.h5", "--set", "workload.0.m=300000",
                                    "--set", "workload.0.n=300000", "--set", "workload.0.k=1", "--set",
                                    "system.0.backends=[\"reference\"]", "--set", "protocol.verify=false"});
    CHECK(memory.code == 3);
    CHECK(memory.says("GB in float64 (the reference may use "));
    CHECK(memory.rss_bytes < 200e6);
}

TEST_CASE("the command line itself") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    const std::vector<std::pair<std::vector<std::string>, std::string>> mistakes{
        {{}, "A subcommand is required"},
        {{"frob"}, "subcommand is required"},
        {{"run"}, "experiment is required"},
        {{"run", "e.toml", "--frob"}, "--frob"},
        {{"list", "--format", "xml"}, "xml"},
        {{"list", "workload"}, "waferbench: list: there are no \"workload\". Did you mean \"workloads\"?\n"},
        {{"describe", "h100-sx"}, "waferbench: describe: nothing is called \"h100-sx\". Did you mean \"h100-sxm\"?\n"},
        {{"run", "nothing"}, "waferbench: run: there is no experiment \"nothing\". Known: agreement, "},
        {{"run", "quik"},
         "waferbench: run: there is no experiment \"quik\". Did you mean \"quick\"? Or give a TOML file.\n"},
        {{"run", "nothing.toml"},
         "waferbench: nothing.toml: cannot be opened (No such file or directory). Check the path.\n"},
        {{"run", "."}, "waferbench: .: "},
    };
    for (const auto& [arguments, line] : mistakes) {
        const Outcome o = box.run(arguments);
        CAPTURE(line);
        CAPTURE(o.err);
        CHECK(o.code == 1);
        CHECK(o.says(line));
    }
    const Outcome nothing = box.run({"run", "e.toml", "--resume"});
    CHECK(nothing.code == 5);
    CHECK(nothing.err ==
          "waferbench: --resume: there is no journal results/e-*.journal (nothing was begun that could go on). "
          "Run without --resume, or give --output.\n");
}

TEST_CASE("TOML that is none has a line and a column") {
    const Sandbox box;
    for (const char* text :
         {"[[workload]\nuse = 1", "a = ", "\xff\xfe", "[protocol]\nmin_time = 1979-05-27\n", "x = {"}) {
        box.write("e.toml", text);
        const Outcome o = box.run({"run", "e.toml"});
        CAPTURE(o.err);
        CHECK(o.code == 1);
        CHECK(o.err.starts_with("waferbench: e.toml:"));
        CHECK(std::isdigit(static_cast<unsigned char>(o.err[19])));
    }
    box.write("e.toml", "");
    CHECK(box.run({"run", "e.toml"}).err.find("names no workload (there is nothing to run).") != std::string::npos);
}
