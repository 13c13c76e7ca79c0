#include "harness/host_network.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/error.hpp"
#include "core/units.hpp"
#include "harness/host.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

std::string host_name() {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return host.data();
}

/// Numbers of ranks whose figures are stored, ascending.
std::vector<int> stored_ranks() {
    std::vector<int> out;
    const fs::path some = host_network_file(2);
    const std::string start = fmt::format("network-{}-", host_name());
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(some.parent_path(), ignored)) {
        const std::string name = entry.path().filename().string();
        int ranks = 0;
        if (!name.starts_with(start)) continue;
        const char* const at = name.data() + start.size();
        const auto [end, error] = std::from_chars(at, name.data() + name.size(), ranks);
        if (error == std::errc() && std::string_view(end) == "ranks.toml") out.push_back(ranks);
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string quantity(double si, const char* unit) { return fmt::format("\"{:.6g} {}\"", si, unit); }

void put(std::string& out, const std::string& key, const std::string& value, const std::string& note = "") {
    out += fmt::format("{} = {{ value = {}, source = \"network\"{} }}\n", key, value,
                       note.empty() ? "" : fmt::format(", note = \"{}\"", note));
}

/// What usually tells one straight piece from the next.
constexpr const char* piece_names[] = {"eager", "rendezvous", "uncached"};

void put_pieces(std::string& out, const LogGP& fit) {
    for (std::size_t i = 0; i < fit.pieces.size(); ++i) {
        const MessagePiece& p = fit.pieces[i];
        const char* const name = piece_names[i];
        put(out, fmt::format("loggp_{}_bytes", name), quantity(p.from_bytes, "B"), "from this size on");
        put(out, fmt::format("loggp_{}_start_time", name), quantity(p.start_s * 1e9, "ns"));
        if (p.byte_s > 0) put(out, fmt::format("loggp_{}_bandwidth", name), quantity(1e-9 / p.byte_s, "GB/s"), "1 / G");
    }
}

/// A longer message is never faster: what seems so was disturbed.
void put_function(std::string& out, const char* key, const NetworkFigures& f, const char* pattern) {
    std::vector<double> sizes = f.sizes(pattern), seconds;
    for (const double bytes : sizes) seconds.push_back(f.at(pattern, bytes));
    for (std::size_t i = seconds.size(); i-- > 1;) seconds[i - 1] = std::min(seconds[i - 1], seconds[i]);
    for (std::size_t i = 0; i < sizes.size(); ++i)
        put(out, fmt::format("{}_{:.0f}_time", key, sizes[i]), quantity(seconds[i] * 1e9, "ns"));
}

double fact(const std::map<std::string, Fact>& facts, const std::string& key) {
    const auto it = facts.find(key);
    return it == facts.end() ? 0 : it->second.value;
}

}  // namespace

std::string host_network_file(int ranks) {
    const fs::path folder = fs::path(host_cache_file(1)).parent_path();
    return (folder / fmt::format("network-{}-{}ranks.toml", host_name(), ranks)).string();
}

std::string host_network_toml(const NetworkFigures& f, const LogGP& fit, const System& host, const std::string& date,
                              const std::string& busy) {
    std::string out =
        fmt::format("title = \"{} ranks of {} on {}\"\nkind = \"cluster\"\n", f.ranks, f.library, host.title);
    out +=
        "notes = \"Collectives follow from the messages measured here; products and vectors are bounded by the peaks, "
        "for nothing of theirs was fitted.\"\n\n[sources]\n";
    out += fmt::format(
        "network = \"waferbench network on this host, {} ranks together, lower quartile of the best round, {}{}\"\n",
        f.ranks, date, busy.empty() ? "" : "; not to be trusted: " + busy);
    out += fmt::format("host = \"this host's description, a share of {} each\"\n", f.ranks);
    out += "bound = \"not measured: as if nothing were lost\"\n\n[unit]\nname = \"rank\"\n\n[unit.peak]\n";
    for (const auto& [type, peak] : host.peak)
        out += fmt::format("{} = {{ value = {}, source = \"host\" }}\n", name(type),
                           quantity(peak.value / f.ranks / 1e9, "GFLOP/s"));
    if (host.native16) out += fmt::format("\n[unit.native]\n16-bit = \"{}\"\n", name(*host.native16));
    const Memory* outer = host.memories.empty() ? nullptr : &host.memories.back();
    if (outer && outer->capacity && outer->bandwidth)
        out += fmt::format(
            "\n[[unit.memory]]\nname = \"{}\"\ncapacity = {{ value = {}, source = \"host\" }}\n"
            "bandwidth = {{ value = {}, source = \"host\" }}\n",
            outer->name, quantity(outer->capacity->value / f.ranks / 1e9, "GB"),
            quantity(outer->bandwidth->value / f.ranks / 1e9, "GB/s"));
    // What bounds are made of: the best that was seen of any size, most of which stay in caches.
    double rate = 0;
    for (const char* pattern : {"latency", "exchange", "bandwidth", "bidirectional"})
        for (const double bytes : f.sizes(pattern)) rate = std::max(rate, bytes / f.at(pattern, bytes));
    out += fmt::format(
        "\n[[fabric]]\nname = \"MPI\"\ntopology = \"switch\"\nunits = {{ value = {}, source = \"network\" }}\n",
        f.ranks);
    put(out, "bandwidth", quantity(rate / 1e9, "GB/s"), "the best of all sizes");
    put(out, "latency", quantity(f.at("latency", 8) * 1e9, "ns"), "half a ping-pong of 8 bytes");
    out += "\n[fitted]\n";
    for (const char* key : {"launch_time", "gap_time"})
        out += fmt::format("{} = {{ value = \"0 s\", source = \"bound\" }}\n", key);
    for (const char* key :
         {"gemm_compute_fraction", "gemm_memory_fraction", "vector_memory_fraction", "attention_fraction"})
        out += fmt::format("{} = {{ value = 1, source = \"bound\" }}\n", key);
    put(out, "loggp_latency", quantity(fit.latency_s * 1e9, "ns"), "L");
    put(out, "loggp_send_overhead_time", quantity(fit.send_overhead_s * 1e9, "ns"), "o of the sender");
    put(out, "loggp_receive_overhead_time", quantity(fit.receive_overhead_s * 1e9, "ns"), "o of the receiver");
    put(out, "loggp_gap_time", quantity(fit.gap_s * 1e9, "ns"), "g");
    put_pieces(out, fit);
    for (const auto& [key, pattern] : {std::pair{"message", "one_way"},
                                       {"exchange", "exchange"},
                                       {"add", "add"},
                                       {"copy", "copy"},
                                       {"fresh_exchange", "fresh_exchange"},
                                       {"fresh_copy", "fresh_copy"}})
        put_function(out, key, f, pattern);
    return out;
}

std::shared_ptr<const System> host_network(const Files& files, Comm& comm,
                                           const std::map<std::string, std::string>& choices) {
    std::string text, path;
    if (comm.rank() == 0) {
        path = files.find("systems/host-network.toml");
        if (path.empty()) {
            const std::vector<int> stored = comm.size() == 1 ? stored_ranks() : std::vector<int>{comm.size()};
            path = host_network_file(stored.empty() ? 2 : stored.front());
        }
        text = read_file(path);
    }
    text = comm.share(text);
    path = comm.share(path);
    if (text.empty())
        throw Error(
            {"host-network",
             fmt::format("the messages between {} ranks of this machine were not measured", std::max(2, comm.size())),
             "their times cannot be guessed",
             fmt::format("Run \"mpirun -n {} waferbench network\" once", std::max(2, comm.size()))},
            Exit::environment);
    return std::make_shared<const System>(parse_system(text, path, "host-network", choices));
}

std::string host_network_text() {
    std::string out;
    for (const int ranks : stored_ranks()) {
        const std::string path = host_network_file(ranks);
        const System s = parse_system(read_file(path), path, "host-network");
        const auto get = [&s](const char* key) { return fact(s.fitted, key); };
        out += fmt::format("\n{}: LogGP L {}, o {} (send) {} (receive), g {}", s.title,
                           format(Seconds(get("loggp_latency"))), format(Seconds(get("loggp_send_overhead_time"))),
                           format(Seconds(get("loggp_receive_overhead_time"))), format(Seconds(get("loggp_gap_time"))));
        for (const char* name : piece_names)
            if (const double rate = get(fmt::format("loggp_{}_bandwidth", name).c_str()); rate > 0)
                out += fmt::format("; {} from {} on: 1/G {}", name,
                                   format(Bytes(get(fmt::format("loggp_{}_bytes", name).c_str()))),
                                   format(BytesPerSecond(rate)));
        out += fmt::format(".\n  {}\n", s.fitted.at("loggp_latency").source);
    }
    return out.empty() ? "" : "\nMessages between ranks (system \"host-network\"):" + out;
}

}  // namespace wb
