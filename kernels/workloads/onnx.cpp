#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/dtype_param.hpp"
#include "core/error.hpp"
#include "core/suggest.hpp"
#include "core/units.hpp"
#include "core/workload.hpp"
#include "kernels/workloads/onnx/layers.hpp"
#include "kernels/workloads/onnx/plan.hpp"
#include "kernels/workloads/onnx/recognise.hpp"

namespace wb::workloads {
namespace {

namespace reader = onnx_import;

reader::Sizes sizes_of(const Params& p) {
    reader::Sizes s{p.integer("batch"), p.integer("seq"), p.integer("past"), p.flag("shrunk")};
    for (const auto& [name, n] : {std::pair{"batch", s.batch}, {"seq", s.seq}, {"past", s.past}})
        if (n < 0) throw Error({name, fmt::format("is {}", n), "a size must be at least 1", "0 takes the file's."});
    if (!s.flexible) return s;
    s.batch = std::min<std::int64_t>(s.batch, 2);
    s.seq = std::min<std::int64_t>(s.seq > 0 ? s.seq : 128, 19);
    s.past = std::min<std::int64_t>(s.past, 13);
    return s;
}

std::string path_of(const Params& p, const Files& files) {
    const std::string& name = p.word("file");
    const std::string path = files.locate(name);
    if (path.empty() || !std::filesystem::is_regular_file(path))
        throw Error({"file", fmt::format("there is no file {}", in_quotes(name)),
                     "it is looked up beside the experiment file and in the working folder", ""});
    return path;
}

struct Read {
    reader::Imported imported;
    reader::Plan plan;
};

Read read(const Params& p, const Files& files) {
    const std::string path = path_of(p, files);
    const reader::Sizes sizes = sizes_of(p);
    Read r{reader::load(path, sizes), {}};
    reader::recognise(r.imported, sizes.past);
    r.plan = reader::translate(r.imported, sizes, path);
    return r;
}

Graph build(const Params& p, const Files& files) {
    const std::int64_t layers = p.integer("layers");
    return reader::emit(read(p, files).plan, dtype_of(p), p.flag("shrunk") ? 1 : layers);
}

/// One layer and few tokens; matrices keep their sizes, since a graph from a file has no smaller sister.
Params verify_size(const Params& p) {
    Params small = p;
    small.set("shrunk", true);
    return small;
}

Findings findings(const Params& p, const Files& files) {
    const Read r = read(p, files);
    const Graph g = reader::emit(r.plan, dtype_of(p), p.integer("layers"));
    std::map<std::string, int> kinds;
    for (const reader::Plan::Op& op : r.plan.ops) ++kinds[std::string(name(op.kind))];
    std::string counts;
    for (const auto& [kind, n] : kinds) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", n, kind);
    Findings out{{"written by",
                  fmt::format("{}, opset {}", r.imported.producer.empty() ? "an unnamed program" : r.imported.producer,
                              r.imported.opset)},
                 {"nodes in the file", fmt::format("{}, all of them understood", r.imported.nodes_in_file)},
                 {"operators", counts}};
    if (const auto layers = reader::find_layers(r.plan))
        out.emplace_back("layers", fmt::format("{} equal ones of {} operators", layers->times, layers->period));
    for (const Tensor& t : g.tensors())
        if (t.role == Role::input)
            out.emplace_back(
                "input", fmt::format("{}: {} {}", t.name, elements(t.shape),
                                     t.fill.kind == Fill::Kind::integers ? fmt::format("numbers below {:.0f}", t.fill.a)
                                                                         : "values"));
    out.emplace_back("parameters", fmt::format("{}", g.parameters()));
    out.emplace_back("weights", "hashed: an ONNX graph is costed, its own values are not read");
    return out;
}

}  // namespace

Workload onnx() {
    return {"onnx",
            "an ONNX graph from any framework: a decoder or encoder, costed as the operators it was written from",
            {{"file", "path of the .onnx file", {}},
             {"batch", "sequences (0 = as the file says, else 1)", std::int64_t{0}},
             {"seq", "tokens of each (0 = as the file says, else 128)", std::int64_t{0}},
             {"past", "tokens already in the cache, where the graph has one", std::int64_t{0}},
             {"layers", "keep that many of its equal layers (0 = all)", std::int64_t{0}},
             {"shrunk", "one layer and few tokens: what verification uses", false},
             dtype_param()},
            build,
            verify_size,
            findings};
}

}  // namespace wb::workloads
