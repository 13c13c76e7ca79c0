// Generation: the cpu backend's tokens against the reference's, and both against graphs without any cache.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <thread>

#include "core/error.hpp"
#include "core/generation.hpp"
#include "core/tables.hpp"
#include "harness/checkpoint.hpp"
#include "harness/verifier.hpp"
#include "kernels/reference/execution.hpp"
#include "kernels/reference/generating.hpp"
#include "kernels/reference/reference.hpp"
#include "tests/kernels/thread_comm.hpp"
#include "tests/temp_folder.hpp"

namespace wb {
std::unique_ptr<Backend> make_cpu();
}

using namespace wb;

namespace {

constexpr std::int64_t batch = 4, prompt = 7, tokens = 6;
constexpr std::uint64_t seed = 7;

const Files& files() {
    static const Files all({std::string(WB_SOURCE_DIR) + "/configs"});
    return all;
}

ParamList parameters(const std::string& model, const char* dtype) {
    return {{"model", model}, {"batch", batch}, {"seq", prompt}, {"dtype", std::string(dtype)}};
}

Graph generate_graph(const std::string& model, const char* dtype = "f32") {
    ParamList all = parameters(model, dtype);
    all.emplace_back("tokens", tokens);
    return build_workload("generate", all, files());
}

Case case_of(Graph graph, const std::string& mapping = "1", double temperature = 0) {
    Case c;
    c.graph = c.small = std::make_shared<const Graph>(std::move(graph));
    auto host = std::make_shared<System>();
    host->id = host->title = "this host";
    host->kind = SystemKind::host;
    c.system = host;
    c.threads = 1;
    c.mapping = Mapping::parse(mapping);
    c.seed = seed;
    c.params.set("temperature", temperature);
    return c;
}

/// What rank 0 says it has generated.
Outputs on_cpu(const Case& c) {
    const int ranks = c.mapping.units();
    Team team(ranks);
    Outputs out;
    std::vector<std::string> problems(static_cast<std::size_t>(ranks));
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
        threads.emplace_back([&, r] {
            try {
                ThreadComm comm(team, r);
                const auto session = make_cpu()->prepare(c, comm);
                session->run();
                session->poison();
                session->run();
                if (auto mine = session->outputs(); mine && r == 0) out = std::move(*mine);
            } catch (const std::exception& e) {
                problems[static_cast<std::size_t>(r)] = e.what();
            }
        });
    for (std::thread& t : threads) t.join();
    CHECK(problems == std::vector<std::string>(static_cast<std::size_t>(ranks)));
    return out;
}

std::vector<std::vector<double>> named(const Outputs& all, const std::string& name) {
    std::vector<std::vector<double>> out;
    for (const Output& o : all)
        if (o.name == name) out.push_back(o.values);
    return out;
}

double error_of(const std::vector<std::vector<double>>& got, const std::vector<std::vector<double>>& wanted) {
    if (got.size() != wanted.size()) return INFINITY;
    double largest = 0, error = 0;
    for (std::size_t n = 0; n < got.size(); ++n) {
        if (got[n].size() != wanted[n].size()) return INFINITY;
        for (std::size_t i = 0; i < got[n].size(); ++i) {
            largest = std::max(largest, std::abs(wanted[n][i]));
            error = std::max(error, std::abs(got[n][i] - wanted[n][i]));
        }
    }
    return error / largest;
}

/// The logits after prompt and generated tokens, by a graph that reads all of them at once.
std::vector<std::vector<double>> without_cache(const std::string& model,
                                               const std::vector<std::vector<double>>& generated) {
    std::vector<std::vector<double>> out;
    for (std::int64_t n = 0; n < tokens; ++n) {
        ParamList all = parameters(model, "f64");
        const std::int64_t length = prompt + n;
        all[2].second = length;
        const Graph g = build_workload("prefill", all, files());
        reference::Execution e(g, seed);
        ParamList first = parameters(model, "f64");
        const Graph short_one = build_workload("prefill", first, files());
        const reference::Execution start(short_one, seed);
        for (std::size_t i = 0; i < g.tensors().size(); ++i) {
            if (g.tensors()[i].name != "tokens") continue;
            std::vector<double>& ids = e.values(tensor_id(i));
            for (std::int64_t s = 0; s < batch; ++s)
                for (std::int64_t t = 0; t < length; ++t)
                    ids[static_cast<std::size_t>(s * length + t)] =
                        t < prompt ? start.values(tensor_id(i))[static_cast<std::size_t>(s * prompt + t)]
                                   : generated[static_cast<std::size_t>(t - prompt)][static_cast<std::size_t>(s)];
        }
        e.run();
        for (const Output& o : e.outputs())
            if (g.tensor(o.tensor).role == Role::output) out.push_back(o.values);
    }
    return out;
}

std::vector<std::vector<double>> likeliest(const std::vector<std::vector<double>>& logits) {
    std::vector<std::vector<double>> out;
    for (const std::vector<double>& all : logits) {
        std::vector<double>& row = out.emplace_back();
        const std::ptrdiff_t ids = static_cast<std::ptrdiff_t>(all.size()) / batch;
        for (std::ptrdiff_t s = 0; s < batch; ++s) {
            const auto from = all.begin() + s * ids;
            row.push_back(static_cast<double>(std::max_element(from, from + ids) - from));
        }
    }
    return out;
}

}  // namespace

TEST_CASE("generating: tokens are the likeliest of a model that reads all before them at once") {
    for (const std::string model : {"tiny-gpt2", "tiny-llama", "tiny-moe"}) {
        CAPTURE(model);
        const Outputs judged =
            reference::generate(generation_of(generate_graph(model, "f64")).value(), {0, seed}, seed);
        const auto wanted = without_cache(model, named(judged, "tokens"));
        CHECK(error_of(named(judged, "logits"), wanted) < 1e-11);
        CHECK(named(judged, "tokens") == likeliest(wanted));
        const Outputs real = on_cpu(case_of(generate_graph(model)));
        CHECK(named(real, "tokens") == likeliest(wanted));
        CHECK(error_of(named(real, "logits"), wanted) < 1e-5);
        std::set<double> different;
        for (const std::vector<double>& step : likeliest(wanted)) different.insert(step.begin(), step.end());
        CHECK(different.size() > batch);  // else nothing would be shown
    }
}

TEST_CASE("generating: latent caches grow as well") {
    const Generation g = generation_of(generate_graph("tiny-mla")).value();
    const Outputs judged = reference::generate(g, {0, seed}, seed), real = on_cpu(case_of(generate_graph("tiny-mla")));
    CHECK(named(real, "tokens") == named(judged, "tokens"));
    CHECK(error_of(named(real, "logits"), named(judged, "logits")) < 1e-5);
}

TEST_CASE("generating: a model of the user's, with its own weights") {
    const Folder folder;
    const std::string path = folder.path.string();
    const std::string command = fmt::format("/usr/bin/python3 '{}/tests/kernels/tiny_models.py' llama '{}' '1,2' >'{}'",
                                            WB_SOURCE_DIR, path, path + "/logits");
    REQUIRE(std::system(command.c_str()) == 0);
    const Outputs real = on_cpu(case_of(generate_graph(path)));
    const auto wanted = without_cache(path, named(real, "tokens"));
    CHECK(named(real, "tokens") == likeliest(wanted));
    CHECK(error_of(named(real, "logits"), wanted) < 1e-5);
}

TEST_CASE("generating: prompts that were given are answered as NumPy answers them, on one rank and on several") {
    const Folder folder;
    const std::string path = folder.path.string(), wanted_file = path + "/wanted";
    const std::string sequences = "3,14,15,9,26,5,35;8,9,7,9,32,38,46;0,1,2,3,4,5,6;60,59,58,57,56,55,54";
    const std::string command =
        fmt::format("/usr/bin/python3 '{}/tests/kernels/tiny_models.py' llama '{}' '{}' {} >'{}'", WB_SOURCE_DIR, path,
                    sequences, tokens, wanted_file);
    REQUIRE(std::system(command.c_str()) == 0);
    std::vector<std::vector<double>> wanted(tokens, std::vector<double>(batch));
    std::ifstream in(wanted_file);
    for (std::size_t s = 0; s < batch; ++s)
        for (std::size_t t = 0; t < tokens; ++t) REQUIRE(bool(in >> wanted[t][s]));
    Tokens given;
    std::istringstream numbers(sequences);
    for (std::int32_t id = 0; numbers >> id; numbers.get()) given.ids.push_back(id);
    Case c = case_of(generate_graph(path));
    const auto alone = single_process();
    c.storage = file_storage(tokens_in_memory(given, "memory"), folder.path / "none", false, *alone);
    CHECK(named(on_cpu(c), "tokens") == wanted);
    const auto judge = make_reference()->prepare(c, *alone);
    judge->run();
    CHECK(named(judge->outputs().value(), "tokens") == wanted);
    for (const std::string mapping : {"dp2", "tp2"}) {
        CAPTURE(mapping);
        c.mapping = Mapping::parse(mapping);
        CHECK(named(on_cpu(c), "tokens") == wanted);
    }
    c.storage.reset();
    c.mapping = {};
    CHECK(named(on_cpu(c), "tokens") != wanted);  // hashed
}

TEST_CASE("generating: ranks that share the sequences, or the model, choose the same tokens") {
    for (const std::string model : {"tiny-gpt2", "tiny-llama"}) {
        CAPTURE(model);
        for (const double temperature : {0.0, 1.5}) {
            const Outputs alone = on_cpu(case_of(generate_graph(model), "1", temperature));
            for (const std::string mapping : {"dp2", "tp2", "dp4", "tp2 dp2"}) {
                CAPTURE(mapping);
                const Outputs shared = on_cpu(case_of(generate_graph(model), mapping, temperature));
                CHECK(named(shared, "tokens") == named(alone, "tokens"));
                CHECK(error_of(named(shared, "logits"), named(alone, "logits")) < 1e-5);
            }
        }
    }
}

TEST_CASE("generating: a temperature draws, by the seed") {
    const Case c = case_of(generate_graph("tiny-gpt2"), "1", 1.0);
    const auto drawn = named(on_cpu(c), "tokens");
    CHECK(drawn == named(on_cpu(c), "tokens"));
    CHECK(drawn != named(on_cpu(case_of(generate_graph("tiny-gpt2"))), "tokens"));
    // Of two ids with logits log 3 and 0, the first is drawn three times of four.
    const TokenChoice choice{1, 3};
    int first = 0;
    for (std::int64_t token = 0; token < 40000; ++token)
        first += choice.score(std::log(3.0), token, 0, 0) > choice.score(0, token, 0, 1) ? 1 : 0;
    CHECK(first / 40000.0 == doctest::Approx(0.75).epsilon(0.015).scale(0));  // five standard deviations
}

namespace {

/// The cpu backend, but for what is done to the outputs it hands to the verifier.
class Spoiled final : public Backend {
public:
    explicit Spoiled(std::function<void(Outputs&)> spoil) : spoil_(std::move(spoil)) {}
    Kind kind() const override { return cpu_->kind(); }
    bool composes() const override { return true; }
    Support supports(const Case& c, int ranks) const override { return cpu_->supports(c, ranks); }
    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        auto session = cpu_->prepare(c, comm);
        if (c.graph->phases().empty()) return session;
        return std::make_unique<Spoiler>(std::move(session), spoil_);
    }

private:
    struct Spoiler final : Session {
        Spoiler(std::unique_ptr<Session> s, std::function<void(Outputs&)> f) : of(std::move(s)), spoil(std::move(f)) {}
        Sample run() override { return of->run(); }
        void poison() override { of->poison(); }
        ResourceUse usage() const override { return of->usage(); }
        std::optional<Outputs> outputs() override {
            std::optional<Outputs> all = of->outputs();
            spoil(*all);
            return all;
        }
        std::unique_ptr<Session> of;
        std::function<void(Outputs&)> spoil;
    };
    std::unique_ptr<Backend> cpu_ = make_cpu();
    std::function<void(Outputs&)> spoil_;
};

}  // namespace

TEST_CASE("generating: the verifier sees a wrong token, a wrong logit and a missing step") {
    const Case c = case_of(generate_graph("tiny-gpt2"));
    const auto judge = make_reference();
    const auto comm = single_process();
    const auto verdict = [&](std::function<void(Outputs&)> spoil) {
        return verify_case(c, Spoiled(std::move(spoil)), *judge, *comm);
    };
    const auto change = [](const char* name, std::int64_t number, double by) {
        return [=](Outputs& all) {
            for (Output& o : all)
                if (o.name == name && o.instance == number) o.values[1] += by;
        };
    };
    const Verification honest = verdict([](Outputs&) {});
    CHECK(honest.error <= honest.tolerance);
    CHECK(honest.method.find("and the tokens generated") != std::string::npos);
    const auto fails = [&](std::function<void(Outputs&)> spoil, const std::string& words) {
        const Verification v = verdict(std::move(spoil));
        CAPTURE(v.method);
        CHECK(v.error > v.tolerance);
        CHECK(v.method.find(words) != std::string::npos);
    };
    fails(change("tokens", 3, 1), "token 3 of sequence 1 is");
    fails(change("tokens", 3, 1000), "token 3 of sequence 1 is");
    fails(change("logits", 2, 0.02), "logits of token 2 of sequence 0 are wrong");
    fails(change("logits", 2, NAN), "logits of token 2 of sequence 0 are wrong");
    fails([](Outputs& all) { all.resize(all.size() - 4); }, "token 4 is missing");
    fails([](Outputs& all) { all.clear(); }, "token 0 is missing");
}

TEST_CASE("generating: only a prefill and what decodes after it is a generation") {
    CHECK(generation_of(generate_graph("tiny-gpt2")).value().tokens == tokens);
    ParamList one = parameters("tiny-gpt2", "f32");
    CHECK_FALSE(generation_of(build_workload("prefill", one, files())));
    one.emplace_back("steps", std::int64_t{2});
    CHECK_FALSE(generation_of(build_workload("pipeline", one, files())));
    ParamList long_one = parameters("gpt2", "f32");
    long_one.emplace_back("tokens", std::int64_t{1019});
    CHECK_THROWS_WITH(build_workload("generate", long_one, files()),
                      "tokens: 1019 after 7 are more than the 1024 positions of the model (it has no embedding for the "
                      "rest). Use at most 1018.");
    long_one.back().second = std::int64_t{4};
    long_one.emplace_back("temperature", -1.0);
    CHECK_THROWS_WITH(build_workload("generate", long_one, files()), doctest::Contains("temperature: is -1"));
}
