// A user's own model: config.json and safetensors, run by the reference and the cpu backend, against NumPy.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "core/error.hpp"
#include "core/fill.hpp"
#include "core/tables.hpp"
#include "kernels/reference/reference.hpp"
#include "tests/kernels/thread_comm.hpp"
#include "tests/temp_folder.hpp"

namespace wb {
std::unique_ptr<Backend> make_cpu();
}

using namespace wb;

namespace {

constexpr std::int64_t batch = 2, seq = 7, vocabulary = 61;
constexpr std::uint64_t seed = 7;

Graph graph_of(const std::string& workload, const std::string& model, const char* dtype, bool shrunk = false) {
    return build_workload(
        workload, {{"model", model}, {"batch", batch}, {"seq", seq}, {"shrunk", shrunk}, {"dtype", std::string(dtype)}},
        Files({std::string(WB_SOURCE_DIR) + "/configs"}));
}

/// What every graph's input "tokens" is filled with.
std::string tokens() {
    const FillStream stream({Fill::Kind::integers, static_cast<double>(vocabulary)}, seed, "tokens", 0);
    std::string out;
    for (std::int64_t i = 0; i < batch * seq; ++i)
        out += fmt::format("{}{}", i == 0 ? "" : i % seq == 0 ? ";" : ",", stream(i));
    return out;
}

/// Writes the folder of a family and returns the logits NumPy finds for its last tokens.
std::vector<double> write_model(const std::string& family, const std::string& folder) {
    const std::string command = fmt::format("/usr/bin/python3 '{}/tests/kernels/tiny_models.py' {} '{}' '{}'",
                                            WB_SOURCE_DIR, family, folder, tokens());
    FILE* const pipe = ::popen(command.c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    std::array<char, 4096> part{};
    while (const std::size_t n = std::fread(part.data(), 1, part.size(), pipe)) text.append(part.data(), n);
    REQUIRE(::pclose(pipe) == 0);
    std::istringstream in(text);
    std::vector<double> out;
    for (double x = 0; in >> x;) out.push_back(x);
    REQUIRE(out.size() == batch * vocabulary);
    return out;
}

Outputs on_cpu(const Graph& graph, int ranks) {
    Case c;
    c.graph = std::make_shared<const Graph>(graph);
    auto host = std::make_shared<System>();
    host->id = host->title = "this host";
    host->kind = SystemKind::host;
    c.system = host;
    c.threads = 1;
    c.mapping.tensor = ranks;
    c.seed = seed;
    Team team(ranks);
    Outputs out;
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
        threads.emplace_back([&, r] {
            ThreadComm comm(team, r);
            const auto session = make_cpu()->prepare(c, comm);
            session->poison();
            session->run();
            if (auto mine = session->outputs(); mine && r == 0) out = std::move(*mine);
        });
    for (std::thread& t : threads) t.join();
    return out;
}

/// Largest difference of the logits from those wanted, in parts of the largest of these.
double error_of(const Outputs& outputs, const std::vector<double>& wanted) {
    for (const Output& o : outputs) {
        if (o.name != "head") continue;
        REQUIRE(o.values.size() == wanted.size());
        double error = 0, largest = 0;
        for (std::size_t i = 0; i < wanted.size(); ++i) {
            largest = std::max(largest, std::abs(wanted[i]));
            error = std::max(error, std::abs(o.values[i] - wanted[i]));
        }
        return error / largest;
    }
    return INFINITY;
}

std::string problem(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

std::string slurp(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void spill(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("trained weights: logits of fifteen families as NumPy finds them") {
    for (const char* family : {"gpt2", "gptj", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "mixtral",
                               "phi3", "falcon", "falcon_grouped", "bert", "roberta", "deepseek_v3"}) {
        CAPTURE(family);
        const Folder folder;
        const std::vector<double> wanted = write_model(family, folder.path.string());
        const Graph exact = graph_of("prefill", folder.path.string(), "f64");
        CHECK(error_of(reference::execute(exact, seed), wanted) < 1e-11);
        const Graph single = graph_of("prefill", folder.path.string(), "f32");
        CHECK(error_of(on_cpu(single, 1), wanted) < 1e-5);
        CHECK(error_of(on_cpu(single, 2), wanted) < 1e-5);
    }
}

TEST_CASE("trained weights: prefill and decode read the same latent matrices, each in its own form") {
    const Folder folder;
    write_model("deepseek_v3", folder.path.string());
    const Graph prefill = graph_of("prefill", folder.path.string(), "f64");
    const Graph decode = graph_of("decode", folder.path.string(), "f64");
    const auto find = [](const Graph& g, const std::string& name) -> const Tensor& {
        return *std::find_if(g.tensors().begin(), g.tensors().end(), [&](const Tensor& t) { return t.name == name; });
    };
    for (const std::string name : {"layers.attention.k_up.weight", "layers.attention.v_up.weight"}) {
        const Tensor &flat = find(prefill, name), &absorbed = find(decode, name);
        const bool keys = name.find("k_up") != std::string::npos;
        const std::int64_t heads = absorbed.shape[0], rank = flat.shape[0], n = flat.shape[1] / heads;
        for (const std::int64_t layer : {0, 1})
            for (std::int64_t h = 0; h < heads; ++h)
                for (std::int64_t r = 0; r < rank; ++r)
                    for (std::int64_t j = 0; j < n; ++j) {
                        const double a = FillStream(flat.fill, 1, "", layer)(r * heads * n + h * n + j);
                        const std::int64_t at = keys ? (h * n + j) * rank + r : (h * rank + r) * n + j;
                        CHECK(FillStream(absorbed.fill, 1, "", layer)(at) == a);
                    }
    }
}

TEST_CASE("trained weights: they are the workload's, wherever they lie") {
    const Folder a, b;
    write_model("gpt2", a.path.string());
    write_model("gpt2", b.path.string());
    const auto fingerprint = [](const Folder& f, bool shrunk = false) {
        return graph_of("train", f.path.string(), "f32", shrunk).fingerprint();
    };
    const std::string trained = fingerprint(a), small = fingerprint(a, true);
    CHECK(fingerprint(b) == trained);
    std::string bytes = slurp(b.path / "model.safetensors");
    bytes[bytes.size() - 3] ^= 1;
    spill(b.path / "model.safetensors", bytes);
    CHECK(fingerprint(b) != trained);
    std::filesystem::rename(b.path / "model.safetensors", b.path / "another_name.safetensors");
    CHECK(fingerprint(b) != trained);
    std::filesystem::remove(b.path / "another_name.safetensors");
    const std::string hashed = fingerprint(b);
    CHECK(hashed != trained);
    CHECK(fingerprint(b, true) == small);  // what verifies at a small size is hashed in both
}

TEST_CASE("trained weights: a file that does not fit is named, with the tensor and both shapes") {
    const Folder folder;
    const std::string path = folder.path.string(), file = path + "/model.safetensors";
    write_model("gpt2", path);
    const std::string config = slurp(folder.path / "config.json"), bytes = slurp(file);
    const auto said = [&] { return problem([&] { graph_of("prefill", path, "f32"); }); };
    const auto with = [](std::string text, const std::string& from, const std::string& to) {
        const std::size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        return text.replace(at, from.size(), to);
    };
    SUBCASE("a shape") {
        spill(folder.path / "config.json", with(config, "\"vocab_size\": 61", "\"vocab_size\": 64"));
        CHECK(said() == file +
                            ": tensor \"wte.weight\" has shape [61, 32], should have [64, 32] (config.json says so). "
                            "One of the two belongs to another model.");
    }
    SUBCASE("more layers than there are") {
        spill(folder.path / "config.json", with(config, "\"n_layer\": 3", "\"n_layer\": 4"));
        CHECK(said() ==
              path +
                  ": its safetensors hold no \"transformer.h.3.ln_1.weight\" (the model's weight norm1.weight "
                  "is read from it). They hold 43 others. Without the files beside config.json, weights "
                  "come from a hash.");
    }
    SUBCASE("a quantised type") {
        spill(file, with(bytes, "\"wpe.weight\": {\"dtype\": \"F32\", \"shape\": [40, 32]",
                         "\"wpe.weight\": {\"dtype\": \"I32\", \"shape\": [40, 32]"));
        CHECK(said() == file +
                            ": tensor \"wpe.weight\" is of type I32 (integers and 8-bit floats are quantised and need "
                            "scales kept elsewhere). Known: F64, F32, F16, BF16.");
    }
    SUBCASE("cut short") {
        spill(file, bytes.substr(0, bytes.size() - 4096));
        CHECK(said().starts_with(file + ": tensor \"wte.weight\" lies at bytes "));
        spill(file, bytes.substr(0, 100));
        CHECK(said().find("bytes and a header of ") != std::string::npos);
        spill(file, bytes.substr(0, 5));
        CHECK(said() == file + ": has 5 bytes (it is no whole safetensors file). Fetch it again.");
        spill(file, std::string(8, '\xff') + bytes);
        CHECK(said().find("and a header of 18446744073709551615") != std::string::npos);
    }
    SUBCASE("a shard that is not there") {
        const Folder sharded;
        write_model("llama", sharded.path.string());
        std::filesystem::remove(sharded.path / "model-00002-of-00002.safetensors");
        const std::string text = problem([&] { graph_of("prefill", sharded.path.string(), "f32"); });
        CHECK(text.find("model.safetensors.index.json: puts \"") != std::string::npos);
        CHECK(text.find("into \"model-00002-of-00002.safetensors\", which is not there") != std::string::npos);
    }
}
