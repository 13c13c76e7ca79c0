#include "core/system.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <functional>

#include "core/suggest.hpp"
#include "core/units.hpp"

namespace wb {
namespace {

constexpr Dimension count{}, hertz = dimension_of<Hertz>, bytes = dimension_of<Bytes>,
                             bandwidth = dimension_of<BytesPerSecond>, rate = dimension_of<FlopsPerSecond>,
                             seconds = dimension_of<Seconds>, watts = dimension_of<Watts>, usd = dimension_of<Usd>;

class Reader {
public:
    Reader(const Config& file, const std::map<std::string, std::string>& choices, System& system)
        : choices_(choices), system_(system) {
        if (const auto sources = file.maybe_table("sources"))
            for (const std::string& key : sources->keys()) sources_[key] = sources->text(key);
    }

    /// A number at `key`, or the chosen one where the file gives several.
    Fact fact(const Config& table, const std::string& key, Dimension dimension) {
        Config c = table.table(key);
        if (!c.has("value") && c.has("default")) {
            const std::string option = c.text_or("option", key), fallback = c.text("default");
            std::vector<std::string> names;
            for (const std::string& k : c.keys())
                if (k != "default" && k != "option") names.push_back(k);
            const auto asked = choices_.find(option);
            const std::string chosen = asked == choices_.end() ? fallback : asked->second;
            system_.options[option] = names;
            system_.chosen[option] = chosen;
            Fact result;
            bool found = false;
            for (const std::string& k : names) {
                const Fact f = plain(c.table(k), dimension);
                if (k == chosen) result = f, found = true;
            }
            if (!found)
                throw c.error("default", fmt::format("{} has no alternative \"{}\"", option, chosen),
                              "only what the file describes can be chosen", did_you_mean(chosen, names));
            return result;
        }
        return plain(c, dimension);
    }

    std::optional<Fact> maybe(const Config& table, const std::string& key, Dimension dimension) {
        if (!table.has(key)) return std::nullopt;
        return fact(table, key, dimension);
    }

    std::string part_name(const Config& table, const std::string& key) {
        return table.has(key) ? table.table(key).text_or("of", "parts") : "";
    }

private:
    Fact plain(const Config& c, Dimension dimension) {
        Fact f;
        const Value v = c.value("value");
        f.text = to_text(v);
        if (const auto* s = v.as<std::string>()) f.text = *s;
        if (dimension == count) {
            f.value = v.as<std::string>() ? c.quantity<double>("value") : c.number("value");
        } else {
            f.value = amount(c, dimension);
        }
        const std::string source = c.text("source");
        const auto known = sources_.find(source);
        f.source = known == sources_.end() ? source : known->second;
        f.confidence = c.has("confidence") ? c.choice("confidence", {"high", "medium", "low"}) : "";
        f.note = c.text_or("note", "");
        for (const char* extra : {"of", "date", "low", "high"})
            if (c.has(extra)) c.value(extra);
        return f;
    }

    static double amount(const Config& c, Dimension d) {
        if (d == hertz) return c.quantity<Hertz>("value").si();
        if (d == bytes) return c.quantity<Bytes>("value").si();
        if (d == bandwidth) return c.quantity<BytesPerSecond>("value").si();
        if (d == rate) return c.quantity<FlopsPerSecond>("value").si();
        if (d == seconds) return c.quantity<Seconds>("value").si();
        if (d == watts) return c.quantity<Watts>("value").si();
        return c.quantity<Usd>("value").si();
    }

    const std::map<std::string, std::string>& choices_;
    System& system_;
    std::map<std::string, std::string> sources_;
};

std::optional<DType> native(const Config& table, const char* key, DType group) {
    if (!table.has(key)) return std::nullopt;
    const std::string word = table.text(key);
    const auto type = dtype_from_name(word);
    if (!type || !belongs_to(*type, group) || is_class(*type))
        throw table.error(key, fmt::format("\"{}\" is not a type of the class {}", word, key),
                          "workloads of that class would run in another width", "");
    return type;
}

/// Facts of a block whose keys are free within a naming rule: the dimension follows from the key.
std::map<std::string, Fact> facts(Reader& reader, const Config& file, const char* block,
                                  const std::function<Dimension(const std::string&)>& dimension) {
    std::map<std::string, Fact> out;
    if (const auto table = file.maybe_table(block))
        for (const std::string& key : table->keys()) out[key] = reader.fact(*table, key, dimension(key));
    return out;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Dimension mesh_dimension(const std::string& key) {
    if (key == "pe_sram" || key == "link_width" || contains(key, "sram_read") || contains(key, "sram_write") ||
        contains(key, "bytes"))
        return bytes;
    if (contains(key, "bandwidth")) return bandwidth;
    return count;
}

/// Constants of the models: counts (cycles, fractions) unless the key says otherwise.
Dimension fitted_dimension(const std::string& key) {
    if (key.ends_with("_time") || key.ends_with("_latency")) return seconds;
    if (key.ends_with("_bandwidth")) return bandwidth;
    if (key.ends_with("_bytes")) return bytes;
    return count;
}

Dimension measured_dimension(const std::string& key) {
    if (contains(key, "bandwidth") || contains(key, "_p2p") || contains(key, "allreduce")) return bandwidth;
    if (contains(key, "latency") || contains(key, "overhead") || contains(key, "launch")) return seconds;
    if (contains(key, "clock")) return hertz;
    if (contains(key, "power")) return watts;
    if (contains(key, "fraction") || contains(key, "mfu")) return count;
    return rate;
}

void read_unit(Reader& reader, const Config& file, System& s) {
    const Config unit = file.table("unit");
    s.unit_name = unit.text("name");
    s.parts = reader.maybe(unit, "parts", count);
    s.parts_name = reader.part_name(unit, "parts");
    s.clock = reader.maybe(unit, "clock", hertz);
    const Config peak = unit.table("peak");
    std::vector<std::string> names;
    for (DType t : all_dtypes()) names.emplace_back(name(t));
    for (const std::string& key : peak.keys()) {
        const auto type = dtype_from_name(key);
        if (!type)
            throw peak.error(key, fmt::format("unknown type \"{}\"", key), "peaks are per element type",
                             did_you_mean(key, names));
        s.peak[*type] = reader.fact(peak, key, rate);
    }
    if (const auto table = unit.maybe_table("native")) {
        s.native16 = native(*table, "16-bit", DType::any16);
        s.native8 = native(*table, "8-bit", DType::any8);
    }
    for (const Config& m : unit.tables("memory"))
        s.memories.push_back(
            {m.text("name"), reader.maybe(m, "capacity", bytes), reader.maybe(m, "bandwidth", bandwidth)});
}

}  // namespace

std::string_view name(SystemKind kind) {
    static constexpr std::array<std::string_view, 3> names{"wafer", "cluster", "host"};
    return names[static_cast<std::size_t>(kind)];
}

std::optional<DType> System::resolve(DType type) const {
    if (type == DType::any16) return native16;
    if (type == DType::any8) return native8;
    return type;
}

System parse_system(const std::string& text, const std::string& path, const std::string& id,
                    const std::map<std::string, std::string>& choices) {
    const Config file = Config::parse(text, path);
    System s;
    s.id = id;
    s.file = path;
    s.text = text;
    s.title = file.text("title");
    s.vendor = file.text_or("vendor", "");
    s.notes = file.text_or("notes", "");
    if (file.has("year")) file.integer("year");
    const std::string kind = file.choice("kind", {"wafer", "cluster", "host"});
    s.kind = kind == "wafer" ? SystemKind::wafer : kind == "host" ? SystemKind::host : SystemKind::cluster;
    Reader reader(file, choices, s);
    read_unit(reader, file, s);
    for (const Config& f : file.tables("fabric"))
        s.fabrics.push_back({f.text("name"),
                             f.choice("topology", {"switch", "full_mesh", "ring", "mesh2d", "torus2d", "torus3d",
                                                   "fat_tree", "rail_optimised", "dragonfly"}),
                             reader.maybe(f, "units", count), reader.maybe(f, "bandwidth", bandwidth),
                             reader.maybe(f, "latency", seconds), f.flag_or("in_network_reduction", false),
                             reader.maybe(f, "ports", count), reader.maybe(f, "oversubscription", count)});
    s.mesh = facts(reader, file, "mesh", mesh_dimension);
    if (const auto node = file.maybe_table("node")) {
        if (node->has("units"))
            s.node["units"] = {static_cast<double>(node->integer("units")),
                               node->has("units") ? to_text(node->value("units")) : "", "same file", "", ""};
        for (const std::string& key : node->keys())
            if (key != "units") s.node[key] = reader.fact(*node, key, key == "host_memory" ? bytes : bandwidth);
    }
    s.power = facts(reader, file, "power", [](const std::string&) { return watts; });
    s.cost = facts(reader, file, "cost", [](const std::string&) { return usd; });
    s.measured = facts(reader, file, "measured", measured_dimension);
    s.fitted = facts(reader, file, "fitted", fitted_dimension);
    file.finish();
    for (const auto& [option, choice] : choices)
        if (!s.options.contains(option)) {
            std::vector<std::string> known;
            for (const auto& [k, v] : s.options) known.push_back(k);
            throw Error({path, fmt::format("has no option \"{}\"", option),
                         fmt::format("\"{}\" cannot be chosen", choice), did_you_mean(option, known)});
        }
    return s;
}

System load_system(const std::string& path, const std::map<std::string, std::string>& choices) {
    return parse_system(Config::load(path).source_text(), path, std::filesystem::path(path).stem().string(), choices);
}

}  // namespace wb
