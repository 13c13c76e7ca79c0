#include <doctest/doctest.h>

#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "harness/result_file.hpp"
#include "tests/tco/sample.hpp"
#include "tests/temp_folder.hpp"

using namespace wb::tco;

namespace {

/// The one sentence a mistake is answered with; "" if there was none.
template <class F>
std::string refusal(F f) {
    try {
        f();
    } catch (const wb::Error& e) {
        CHECK(e.code() == wb::Exit::usage);
        const std::string text = e.what();
        CHECK(text.find('\n') == std::string::npos);
        return text;
    }
    return "";
}

std::string set(const std::string& assignment) {
    return refusal([&] {
        Book b = sample::book();
        b.set(assignment);
        b.check();
    });
}

std::string overlay(const std::string& toml) {
    const Folder folder;
    const std::string path = (folder.path / "mine.toml").string();
    std::ofstream(path) << toml;
    return refusal([&] {
        Book b = sample::book();
        b.overlay(path);
        b.check();
    });
}

bool says(const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
    return text.find(part) != std::string::npos;
}

std::string yields(std::vector<wb::Result> results) {
    return refusal([&] { yields_of({sample::set_of(std::move(results))}, ""); });
}

struct Outcome {
    int code;
    std::string text;
};
Outcome run(const std::string& arguments) {
    FILE* pipe = popen((std::string(WB_BINARY) + " " + arguments + " 2>&1").c_str(), "r");
    Outcome out{-1, ""};
    char buffer[4096];
    while (const std::size_t n = fread(buffer, 1, sizeof buffer, pipe)) out.text.append(buffer, n);
    const int status = pclose(pipe);
    out.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
}

bool is_table(const std::string& environment) { return environment == "tabular" || environment == "longtable"; }

/// What LaTeX would stumble over: characters that are commands to it, braces and environments left open, rows with
/// more cells than their table has columns or without an end.
std::string latex_problem(const std::string& text) {
    std::istringstream in(text);
    int open = 0, columns = 0;
    std::vector<std::string> environments;
    for (std::string line; std::getline(in, line);) {
        if (line.starts_with("% ")) continue;
        int cells = 1;
        for (std::size_t i = 0; i < line.size(); ++i) {
            if (line[i] == '\\') {
                if (++i == line.size()) return "ends in a backslash: " + line;
                continue;
            }
            if (std::string_view("%$#_^~<>|").find(line[i]) != std::string_view::npos) return "unescaped: " + line;
            open += line[i] == '{' ? 1 : line[i] == '}' ? -1 : 0;
            cells += line[i] == '&' ? 1 : 0;
            if (open < 0) return "closes too much: " + line;
        }
        if (line.starts_with("\\begin{")) {
            environments.push_back(line.substr(7, line.find('}') - 7));
            if (is_table(environments.back()))
                columns =
                    static_cast<int>(line.size() - environments.back().size() - std::string("\\begin{}{}").size());
        } else if (line.starts_with("\\end{")) {
            if (environments.empty() || environments.back() != line.substr(5, line.find('}') - 5))
                return "ends: " + line;
            environments.pop_back();
        } else if (!environments.empty() && is_table(environments.back()) && !line.ends_with("rule") &&
                   line != "\\addlinespace" && line != "\\endhead") {
            if (cells > columns) return "too many cells: " + line;
            if (!line.ends_with("\\\\")) return "a row without an end: " + line;
        }
        if (line.empty()) return "an empty line ends a paragraph";
    }
    return open == 0 && environments.empty() ? "" : "something is left open";
}

/// Whether every line of a table has the same number of fields; tables are parted by empty lines.
bool even_csv(const std::string& text) {
    std::istringstream in(text);
    long fields = 0;
    for (std::string line; std::getline(in, line);) {
        if (line.empty()) {
            fields = 0;
            continue;
        }
        long n = 1;
        bool quoted = false;
        for (const char c : line) {
            quoted = quoted != (c == '"');
            n += c == ',' && !quoted ? 1 : 0;
        }
        if (quoted || (fields > 0 && n != fields)) return false;
        fields = n;
    }
    return true;
}

const std::string entry = "source = \"a quote of mine\"\ndate = \"2026-11-01\"\nconfidence = \"high\"\n";

}  // namespace

TEST_CASE("a wrong number is one sentence, and exit code 1") {
    CHECK(set("price.h100=40000 USD") == "");
    CHECK(set("price.h100=25 kUSD .. 30 kUSD .. 40 kUSD") == "");
    CHECK(says(set("price.h100=-1 USD"), "price"));
    CHECK(says(set("price.h100=nan USD"), "--set price.h100"));
    CHECK(says(set("price.h100=40000"), "has no unit"));
    CHECK(says(set("price.h100=40000 EUR"), "is in EUR"));
    CHECK(says(set("price.h100=40000 W"), "--set price.h100"));
    CHECK(says(set("life=0 year"), "nothing can be paid for in no time"));
    CHECK(says(set("utilisation=1.1"), "utilisation"));
    CHECK(says(set("utilisation=0"), "utilisation"));
    CHECK(says(set("pue=0.9"), "pue"));
    CHECK(says(set("pue=1.4 .. 1.2"), "out of order"));
    CHECK(says(set("pue"), "has no value"));
    CHECK(says(set("price.h101=1 USD"), "Did you mean"));
    CHECK(says(set("pui=1.2"), "Did you mean \"pue\""));
    CHECK(says(set("facility=10 USD/W"), "both rented (colocation) and built (facility)"));
}

TEST_CASE("an overlay is as strict") {
    CHECK(overlay("[pue]\nmode = 1.2\n" + entry) == "");
    CHECK(overlay("[price.h100]\nlow = \"20 kUSD\"\nmode = \"25 kUSD\"\nhigh = \"30 kUSD\"\n" + entry) == "");
    CHECK(overlay("without = [\"colocation\"]\n[facility]\nmode = \"10 USD/W\"\n" + entry +
                  "[facility_life]\nmode = \"12 year\"\n" + entry) == "");
    CHECK(says(overlay("[puee]\nmode = 1.2\n" + entry), "matches nothing"));
    CHECK(says(overlay("[price.nothing]\nmode = \"1 USD\"\n" + entry), "matches nothing"));
    CHECK(says(overlay("without = [\"nothing\"]"), "matches nothing"));
    CHECK(says(overlay("without = [\"colocation\"]"), "neither rented (colocation) nor built (facility)"));
    CHECK(says(overlay("[facility]\nmode = \"10 USD/W\"\n" + entry), "paid twice"));
    CHECK(says(overlay("[pue]\nmode = nan\n" + entry), "mode is nan"));
    CHECK(says(overlay("[price.h100]\nmode = 30000\n" + entry), "has no unit"));
    CHECK(says(overlay("[price.h100]\nmode = \"30000 €\"\n" + entry), "is in €"));
    CHECK(says(overlay("[pue]\nmode = 1.2\ndate = \"2026-11-01\"\nconfidence = \"high\"\n"), "source"));
    CHECK(says(overlay("[pue]\nmode = 1.2\nsource = \"word\"\ndate = \"2026-11-01\"\nconfidence = \"high\"\n"),
               "is no source"));
    CHECK(says(overlay("[pue]\nmode = 1.2\nsource = \"a b\"\ndate = \"2026-13-01\"\nconfidence = \"high\"\n"),
               "is no date"));
    CHECK(says(overlay("[pue]\nmode = 1.2\nmodus = 3\n" + entry), "modus"));
}

TEST_CASE("unknown hardware is an error, never a cost of 0") {
    const Book b = sample::book();
    CHECK(says(refusal([&] { bill_of(b, "abacus"); }), "no price of this hardware is known"));
    CHECK(says(refusal([&] { bill_of(b, "b200", true); }), "has no price by the hour"));
    CHECK(bill_of(b, "tpu-v5p").rented);
    CHECK(says(refusal([] { Book::load(sample::files(), "neocluod"); }), "Did you mean \"neocloud\""));
}

TEST_CASE("wrong outputs and different work are no denominator") {
    wb::Result good = sample::decode("h100-sxm", 8, 64, 0.02), bad = sample::decode("h200-sxm", 8, 64, 0.02);
    CHECK(yields({good, bad}) == "");
    bad.m.verification = {true, "whole result", 0.5, 0.03};
    CHECK(says(yields({good, bad}), "failed its verification"));
    bad.m.verification = {};
    bad.m.status = wb::Status::invalid;
    CHECK(says(yields({good, bad}), "failed its verification"));
    bad.m.status = wb::Status::ok;
    bad.fingerprint = "other";
    CHECK(says(yields({good, bad}), "ran other work"));
    bad = sample::decode("h200-sxm", 8, 64, 0.02);
    bad.m.status = wb::Status::skipped;
    bad.m.reason = "does not fit";
    const auto y = yields_of({sample::set_of({good, bad})}, "");
    CHECK(y.at(1).reason == "does not fit");
    CHECK(!y.at(1).usable());
    good.m.kind = wb::Kind::bound;
    CHECK(yields_of({sample::set_of({good, bad})}, "").size() == 1);  // a bound is nobody's result
    CHECK(yields_of({sample::set_of({bad})}, "-h200-sxm").empty());
}

TEST_CASE("a price the system files give too is the same there") {
    const Book b = sample::book();
    for (const std::string& id : sample::files().names("tco/devices", ".toml")) {
        const wb::System s = wb::parse_system(sample::system_text(id), id, id);
        const auto cost = s.cost.find("unit");
        if (cost == s.cost.end() || b.find("price." + id) < 0) continue;
        CAPTURE(id);
        CHECK(b[b.need("price." + id)].mode == cost->second.value);
    }
}

TEST_CASE("the program reads results and writes every format") {
    const Folder folder;
    const std::string h5 = (folder.path / "r.h5").string();
    wb::write_results(h5,
                      sample::set_of({sample::decode("h100-sxm", 8, 64, 0.02), sample::decode("wse3", 1, 64, 0.0005)}));
    const std::string call = "tco " + h5 + " --today 2026-11-21 --trials 500 ";
    const Outcome o = run(call);
    CHECK(o.code == 0);
    for (const char* part :
         {"What a system may cost to be level with another", "Unit costs, preset neocloud", "Letters beside a number"})
        CHECK(says(o.text, part));
    for (const char* end : {"md", "csv", "tex", "json", "h5"}) {
        const std::string out = (folder.path / "t.").string() + end;
        const Outcome w = run(call + "--table all --interactivity 50 --interactivity 51 -o " + out);
        CAPTURE(w.text);
        CHECK(w.code == 0);
        CHECK(std::filesystem::file_size(out) > 1000);
    }
    CHECK(run(call + "-o " + (folder.path / "t.doc").string()).code == 1);
    for (const char* table : {"systems", "parity", "costs", "hours", "life", "chances", "views", "rent", "importance",
                              "tornado", "assumptions", "all"}) {
        CAPTURE(table);
        const std::string one = call + "--table " + table;
        const Outcome latex = run("--format latex " + one), csv = run(one + " --format csv");
        CHECK(latex.code == 0);
        CHECK(latex_problem(latex.text) == "");
        CHECK(says(latex.text, "\\toprule"));
        CHECK(csv.code == 0);
        CHECK(even_csv(csv.text));
    }
    CHECK(latex_problem(run("--format latex tco --table published").text) == "");
    CHECK(says(run("--format markdown " + call + "--table systems").text, "| --- |"));
    const Outcome object = run("--format json " + call + "--table systems");
    CHECK(says(object.text, "\"local memory\": \"HBM3 8"));
    CHECK(says(object.text, "\"USD/h in use, in words\": \""));
    CHECK(run("--format hdf5 " + call).code == 1);  // a binary file is no text: -o FILE.h5
    CHECK(run(call + "--set utilisation=2").code == 1);
    CHECK(run(call + "--with nowhere.toml").code == 1);
    CHECK(run("tco").code == 1);
    CHECK(run("tco nowhere.h5").code == 5);
    const Outcome level = run(call + "--interactivity 3000");
    CHECK(says(level.text, "refused: outside the range of its results"));
    CHECK(says(run("check " + (folder.path / "t.h5").string()).text, "complete and valid. 14 tables of costs."));
    CHECK(says(run(call + "--api 0.4\\ USD").text, "Own, or buy answers at 0.400 USD"));
    CHECK(run(call + "--api 0.4\\ EUR").code == 1);
    CHECK(says(run(call + "--rent --filter h100-sxm").text, "h100-sxm x8, rented"));
    CHECK(run(call + "--rent").code == 1);  // the wafer has no price by the hour
    CHECK(run("tco --table published --trials 500").code == 0);
    CHECK(run("tco --table published --trials 500 --set price.h100=80000\\ USD").code == 2);
    std::string json;
    std::getline(std::ifstream((folder.path / "t.json").string()), json, '\0');
    CHECK(says(json, "\"parity\""));
}

TEST_CASE("from a run to the cost: a system nobody judged has the wider band, and its letter") {
    const Folder folder;
    const auto path = [&](const char* name) { return (folder.path / name).string(); };
    std::ofstream(path("e.toml"))
        << "[[workload]]\nuse = \"gemm\"\nm = 8192\nn = 8192\nk = 8192\ndtype = \"16-bit\"\n"
           "[[workload]]\nuse = \"serve\"\nmodel = \"llama3.1-8b\"\narrival = \"poisson:4/s\"\nrequests = 100\n"
           "input = 500\noutput = 50\ndtype = \"16-bit\"\n"
           "[[system]]\nuse = \"h100-sxm\"\ngpus = 8\nbackends = [\"cluster\"]\n"
           "[[system]]\nuse = \"gaudi3\"\nunits = 8\nbackends = [\"cluster\"]\n";
    CHECK(run("run " + path("e.toml") + " -q -o " + path("e.h5")).code == 0);
    const wb::ResultSet set = wb::read_results(path("e.h5"));
    REQUIRE(set.results.size() == 4);
    for (std::size_t i = 0; i < 4; i += 2) {
        const wb::Band &seen = set.results[i].m.band, &unseen = set.results[i + 1].m.band;
        CAPTURE(set.results[i].label);
        CAPTURE(seen.source);
        CAPTURE(unseen.source);
        CHECK(seen.source.find("published rows of") != std::string::npos);  // a server: of served requests, whole
        CHECK(unseen.source.starts_with("unseen system"));
        CHECK(unseen.low <= seen.low);
        CHECK(unseen.high > seen.high + 0.1);
    }
    const std::vector<Yield> y = yields_of({set}, "");
    CHECK(!y[0].unjudged);
    CHECK(y[1].unjudged);
    const Outcome shown = run("show " + path("e.h5"));
    CHECK(says(shown.text, " unseen"));
    const Outcome costs = run("tco " + path("e.h5") + " --trials 500 --table systems");
    CHECK(says(costs.text, "14 + 4 lines; counted"));
}
