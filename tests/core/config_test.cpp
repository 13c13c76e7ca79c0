#include "core/config.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include <doctest/doctest.h>

using namespace wb;

namespace {

std::string complaint(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        CHECK(error.code() == Exit::usage);
        return error.what();
    }
    return "accepted";
}

const std::string machine = R"(name = "toy"
count = 4
ratio = 0.5
exact = true
born = 2024-05-01

[unit]
clock = "1.1 GHz"
bandwith = "900 GB/s"
bare = 900
zero = 0
share = "70 %"
plain = 0.25
huge = inf

[[memory]]
size = "48 KiB"
[[memory]]
size = "80 Gb"

[sweep]
z = [1, 2.5, "x", [true]]
a = { m = 3, b = "y" }
)";

Config toy() { return Config::parse(machine, "toy.toml"); }

}  // namespace

TEST_CASE("values of every kind are read") {
    const Config config = toy();
    CHECK(config.text("name") == "toy");
    CHECK(config.integer("count") == 4);
    CHECK(config.number("count") == 4.0);
    CHECK(config.number("ratio") == 0.5);
    CHECK(config.flag("exact"));
    CHECK(config.choice("name", {"real", "toy"}) == "toy");
    const Config unit = config.table("unit");
    CHECK(unit.quantity<Hertz>("clock") == Hertz(1.1e9));
    CHECK(unit.quantity<BytesPerSecond>("zero") == BytesPerSecond(0));
    CHECK(unit.quantity<double>("share") == 0.7);
    CHECK(unit.quantity<double>("plain") == 0.25);
    const auto memories = config.tables("memory");
    REQUIRE(memories.size() == 2);
    CHECK(memories[0].quantity<Bytes>("size") == Bytes(49152));
}

TEST_CASE("a fallback stands in for a missing key only") {
    const Config config = toy();
    CHECK(config.text_or("name", "other") == "toy");
    CHECK(config.text_or("none", "other") == "other");
    CHECK(config.integer_or("count", 7) == 4);
    CHECK(config.integer_or("none", 7) == 7);
    CHECK(config.number_or("ratio", 7) == 0.5);
    CHECK(config.number_or("none", 7) == 7);
    CHECK(config.flag_or("exact", false));
    CHECK_FALSE(config.flag_or("none", false));
    CHECK(config.quantity_or<Seconds>("none", Seconds(3)) == Seconds(3));
    CHECK(config.table("unit").quantity_or<Hertz>("clock", Hertz(3)) == Hertz(1.1e9));
    CHECK(config.maybe_table("none") == std::nullopt);
    CHECK(config.maybe_table("unit").has_value());
    CHECK(config.tables("none").empty());
    CHECK(complaint([&] { config.integer_or("name", 7); }) ==
          "toy.toml:1:8: \"name\" is the text \"toy\", not an integer. Write it like name = 16.");
}

TEST_CASE("each mistake has its place and its sentence") {
    const Config config = toy();
    const Config unit = config.table("unit");
    struct Row {
        std::function<void()> action;
        std::string sentence;
    };
    for (const auto& [action, sentence] : std::vector<Row>{
             {[&] { config.text("count"); }, "toy.toml:2:9: \"count\" is the integer 4, not a text. Put it in quotes."},
             {[&] { config.text("born"); }, "toy.toml:5:8: \"born\" is a date, not a text. Put it in quotes."},
             {[&] { config.text("unit"); },
              "toy.toml:7:1: \"unit\" is a table, not a text. Write it like unit = \"...\"."},
             {[&] { config.integer("ratio"); },
              "toy.toml:3:9: \"ratio\" is the number 0.5, not an integer. Write it like ratio = 16."},
             {[&] { config.number("exact"); },
              "toy.toml:4:9: \"exact\" is true, not a number. Write it like exact = 0.5."},
             {[&] { unit.number("huge"); },
              "toy.toml:14:8: \"huge\" is the number inf, not a finite number. Write it like huge = 0.5."},
             {[&] { config.flag("count"); },
              "toy.toml:2:9: \"count\" is the integer 4, not a flag. Write it like count = true."},
             {[&] { config.table("count"); },
              "toy.toml:2:9: \"count\" is the integer 4, not a table. Write it like count = {...}."},
             {[&] { config.tables("count"); },
              "toy.toml:2:9: \"count\" is the integer 4, not an array of tables. Write it like count = [{...}]."},
             {[&] { config.table("sweep").tables("z"); }, "toy.toml:22:6: the integer 1 in \"z\" is no table."},
             {[&] { config.table("sweep").integers("z"); }, "toy.toml:22:9: 2.5 in \"z\" is not one of integers."},
             {[&] { config.texts("name"); },
              "toy.toml:1:8: \"name\" is the text \"toy\", not an array of texts. Write it like name = [...]."},
             {[&] {
                  config.choice("name", {"tot", "real"});
              },
              "toy.toml:1:8: \"toy\" is no name. Did you mean \"tot\"?"},
             {[&] { config.value("born"); }, "toy.toml:5:8: a date has no use here. Put it in quotes."},
             {[&] { unit.quantity<BytesPerSecond>("bare"); },
              "toy.toml:10:8: \"900\" has no unit (a bandwidth is in bytes per second). Write \"900 GB/s\"."},
             {[&] { unit.quantity<Seconds>("clock"); },
              "toy.toml:8:9: \"1.1 GHz\" is a frequency, not a time (a time is in seconds). Write it like \"1 s\"."},
             {[&] { unit.quantity<double>("huge"); },
              "toy.toml:14:8: \"inf\" is not a finite number (a plain number has no unit)."},
             {[&] { config.quantity<Seconds>("exact"); },
              "toy.toml:4:9: \"exact\" is true, not a time in seconds. Write it like exact = \"1 s\"."},
             {[&] { config.tables("memory")[1].quantity<Bytes>("size"); },
              "toy.toml:19:8: \"80 Gb\" is in bits (b is a bit, 8 times less than the byte B, and is for rates such as"
              " Gb/s only). Write \"80 GB\", or \"10 GB\" if bits are meant."},
             {[&] { unit.quantity<BytesPerSecond>("bandwidth"); },
              "toy.toml:7:1: \"bandwidth\" is missing from [unit] (it is a bandwidth in bytes per second and has no"
              " default). Was it meant by \"bandwith\" at toy.toml:9:1?"},
             {[&] { unit.quantity<Watts>("tdp"); },
              "toy.toml:7:1: \"tdp\" is missing from [unit] (it is a power in watts and has no default)."
              " Write it like tdp = \"1 W\"."},
             {[&] { config.integer("dies"); },
              "toy.toml:1:1: \"dies\" is missing (it is an integer and has no default). Write it like dies = 16."},
         }) {
        CHECK(complaint(action) == sentence);
    }
}

TEST_CASE("every value knows where it stands") {
    const Config config = toy();
    CHECK(config.where() == "toy.toml:1:1");
    CHECK(config.where("count") == "toy.toml:2:9");
    CHECK(config.where("none") == "toy.toml:1:1");
    CHECK(config.table("unit").where() == "toy.toml:7:1");
    CHECK(config.table("unit").where("none") == "toy.toml:7:1");
    CHECK(config.tables("memory")[1].where() == "toy.toml:18:1");
    CHECK(std::string(config.error("count", "four is odd", "why", "Hint.").what()) ==
          "toy.toml:2:9: four is odd (why). Hint.");
    CHECK(config.source_text() == machine);
    CHECK(config.file() == "toy.toml");
}

TEST_CASE("keys keep the order of the file") {
    CHECK(toy().keys() ==
          std::vector<std::string>{"name", "count", "ratio", "exact", "born", "unit", "memory", "sweep"});
    CHECK(toy().table("sweep").keys() == std::vector<std::string>{"z", "a"});
}

TEST_CASE("any value comes out as a tree") {
    const Config sweep = toy().table("sweep");
    CHECK(to_text(sweep.value("z")) == "[1, 2.5, \"x\", [true]]");
    const Value pairs = sweep.value("a");
    CHECK(to_text(pairs) == "{m = 3, b = \"y\"}");
    CHECK(pairs.where == "toy.toml:23:5");
    REQUIRE(pairs.as<Value::Pairs>());
    CHECK(pairs.as<Value::Pairs>()->front().value.where == "toy.toml:23:11");
    const Config lists = Config::parse("i = [1, 2]\nd = [1, 2.5]\nt = ['a']\nwhole = 3.0\n", "l");
    CHECK(lists.integers("i") == std::vector<std::int64_t>{1, 2});
    CHECK(lists.numbers("d") == std::vector<double>{1, 2.5});
    CHECK(lists.texts("t") == std::vector<std::string>{"a"});
    CHECK(to_text(lists.value("whole")) == "3.0");
}

TEST_CASE("a key that nobody read is refused, wherever it is") {
    const auto after = [](const std::string& text, const std::function<void(const Config&)>& reads) {
        const Config config = Config::parse(text, "f");
        return complaint([&] {
            reads(config);
            config.finish();
        });
    };
    const std::string why = " (a key that nobody reads would be ignored).";
    CHECK(after("a = 1\n", [](const Config& c) { c.integer("a"); }) == "accepted");
    CHECK(after("", [](const Config&) {}) == "accepted");
    CHECK(after("a = 1\n", [](const Config&) {}) == "f:1:1: unknown key \"a\"" + why);
    CHECK(after("a = 1\n", [](const Config& c) { c.has("a"); }) ==
          "f:1:1: unknown key \"a\"" + why + " Did you mean \"a\"?");
    CHECK(after("a = 1\n", [](const Config& c) { c.keys(); }) == "f:1:1: unknown key \"a\"" + why);
    CHECK(after("[m]\nbandwith = 1\n", [](const Config& c) { c.table("m").number_or("bandwidth", 1); }) ==
          "f:2:1: unknown key \"bandwith\" in [m]" + why + " Did you mean \"bandwidth\"?");
    CHECK(after("[m]\nx = 1\n[m.n]\nyy = 1\n", [](const Config& c) {
              c.table("m").integer("x");
              c.table("m").table("n").has("other");
          }) == "f:4:1: unknown key \"yy\" in [m.n]" + why + " Known: other.");
    CHECK(after("[[m]]\nx = 1\n[[m]]\nx = 2\n", [](const Config& c) { c.tables("m")[0].integer("x"); }) ==
          "f:4:1: unknown key \"x\" in [m]" + why);
    CHECK(after("[m]\nx = 1\n", [](const Config&) {}) == "f:1:2: unknown key \"m\"" + why);
    CHECK(after("a = 1\nb = 2\nc = 3\n", [](const Config&) {}) ==
          "f:1:1: unknown key \"a\"" + why + " Also unknown: \"b\" at f:2:1, \"c\" at f:3:1.");
    CHECK(after("[m]\nx = [1, {y = 2}]\n", [](const Config& c) { c.table("m").value("x"); }) == "accepted");
}

TEST_CASE("finish looks below its own table only, and views share what was read") {
    const Config config = Config::parse("top = 1\n[m]\nx = 1\n", "f");
    const Config copy = config;
    copy.table("m").integer("x");
    CHECK(complaint([&] { config.table("m").finish(); }) == "accepted");
    CHECK(complaint([&] { config.finish(); }).starts_with("f:1:1: unknown key \"top\""));
}

TEST_CASE("the command line overrides and adds values") {
    Config config = toy();
    config.set("unit.clock", "0.5 GHz");
    config.set("count", "8");
    config.set("name", "\"3\"");
    config.set("memory.1.size", "\"1 GB\"");
    config.set("sweep.z", "[1, 2]");
    config.set("protocol.min_time", "0.5 s");
    config.set("sweep.\"a.b\"", "2024-05-01");
    config.set("unit.0.zero", "");
    CHECK(config.table("unit").quantity<Hertz>("clock") == Hertz(0.5e9));
    CHECK(config.integer("count") == 8);
    CHECK(config.text("name") == "3");
    CHECK(config.tables("memory")[1].quantity<Bytes>("size") == Bytes(1e9));
    CHECK(config.table("sweep").integers("z") == std::vector<std::int64_t>{1, 2});
    CHECK(config.table("protocol").quantity<Seconds>("min_time") == Seconds(0.5));
    CHECK(config.table("sweep").text("a.b") == "2024-05-01");
    CHECK(config.table("unit").text("zero") == "");
    CHECK(config.where("count") == "--set count");
    CHECK(config.keys().back() == "protocol");
    CHECK(config.source_text() == machine);
}

TEST_CASE("a wrong override names itself") {
    Config config = toy();
    CHECK(complaint([&] { config.set("count.x", "1"); }) ==
          "--set count.x: \"x\" stands below the integer 4 (only tables and arrays have parts).");
    CHECK(complaint([&] { config.set("memory.2.size", "1"); }) ==
          "--set memory.2.size: \"2\" is no index of the array at toy.toml:16:1 (0 to 1 exist).");
    CHECK(complaint([&] { config.set("memory.one.size", "1"); }) ==
          "--set memory.one.size: \"one\" is no index of the array at toy.toml:16:1 (0 to 1 exist).");
    for (const std::string path : {"", ".", "a.", ".a", "a..b", "\"a"}) {
        CHECK(complaint([&] { config.set(path, "1"); }) ==
              "--set " + path + ": is no path of a value (names are parted by points). Write it like a.b=1.");
    }
    CHECK(complaint([&] { config.set("count", "[1, 2"); }).starts_with("--set count: \"[1, 2\" is not valid TOML ("));
    config.set("unit.clokc", "1 GHz");
    config.table("unit").quantity<Hertz>("clock");
    CHECK(complaint([&] { config.table("unit").finish(); }).find("\"clokc\" at --set unit.clokc") != std::string::npos);
    config.set("unit.clock", "fast");
    CHECK(complaint([&] { config.table("unit").quantity<Hertz>("clock"); }) ==
          "--set unit.clock: \"fast\" is not a number with a unit (a frequency is in hertz). Write it like \"1 GHz\".");
}

TEST_CASE("a value overridden after it was read counts as unread") {
    Config config = Config::parse("a = 1\n", "f");
    config.integer("a");
    config.set("a", "2");
    CHECK(complaint([&] { config.finish(); }).starts_with("f:1:1: unknown key \"a\""));
}

TEST_CASE("what is not TOML is refused with its place") {
    const auto parsed = [](std::string text) { return complaint([&] { Config::parse(std::move(text), "f.toml"); }); };
    CHECK(parsed("a = 1\na = 2\n") ==
          "f.toml:2:5: not valid TOML, while parsing key-value pair: cannot redefine existing integer 'a'."
          " Keep one of the two.");
    CHECK(parsed("x = 1 s\n") ==
          "f.toml:1:7: not valid TOML, while parsing key-value pair: expected a comment or whitespace, saw 's'."
          " Texts, and amounts with their unit, stand in quotes.");
    CHECK(parsed("[$x]\n").starts_with("f.toml:1:2: not valid TOML, "));
    CHECK(parsed("$x = 1\n").starts_with("f.toml:1:1: not valid TOML, "));
    CHECK(parsed("[a\n").starts_with("f.toml:1:3: not valid TOML, "));
    CHECK(parsed("a = \"\xff\"\n").starts_with("f.toml:1:"));
    CHECK(parsed("a = 99999999999999999999\n").starts_with("f.toml:1:25: not valid TOML, "));
}

TEST_CASE("depth is bounded, by brackets and by points") {
    const auto repeated = [](const std::string& part, int times) {
        std::string out;
        for (int i = 0; i < times; ++i) out += part;
        return out;
    };
    const auto parsed = [](const std::string& text) { return complaint([&] { Config::parse(text, "f").value("a"); }); };
    CHECK(parsed("x = 1\na" + repeated(".a", 1000) + " = 1\n") == "accepted");
    CHECK(parsed("x = 1\na" + repeated(".a", 1001) + " = 1\n") ==
          "f:2:1: more than 1000 points follow each other in one name (tables cannot nest so deep).");
    CHECK(parsed("a = " + repeated("[", 100) + repeated("]", 100)) == "accepted");
    CHECK(parsed("a = " + repeated("[", 20000)).find("not valid TOML") != std::string::npos);
    CHECK(complaint([&] { toy().set("a" + repeated(".a", 20000), "1"); }).find("is no path") != std::string::npos);
    CHECK(complaint([&] { toy().set("a", "{a" + repeated(".a", 20000) + "=1}"); }).find("points") != std::string::npos);
}

TEST_CASE("files are loaded, or refused with the reason") {
    namespace fs = std::filesystem;
    const fs::path folder = fs::temp_directory_path() / ("config_test_" + std::to_string(::getpid()));
    fs::create_directories(folder);
    const std::string path = (folder / "machine.toml").string();
    std::ofstream(path, std::ios::binary) << machine;
    CHECK(Config::load(path).text("name") == "toy");
    CHECK(Config::load(path).file() == path);
    CHECK(Config::load(path).source_text() == machine);
    std::ofstream(path, std::ios::binary) << "";
    CHECK(Config::load(path).keys().empty());
    const std::string misspelt = (folder / "machin.toml").string();
    CHECK(complaint([&] { Config::load(misspelt); }) ==
          misspelt + ": cannot be opened (No such file or directory). Did you mean \"machine.toml\"?");
    CHECK(complaint([&] { Config::load(folder.string()); }) ==
          folder.string() + ": is a folder, not a file. Name a file in it.");
    fs::remove_all(folder);
}

TEST_CASE("no bytes make the reader crash") {
    std::mt19937 random(20240501);
    int accepted = 0, refused = 0;
    const auto attempt = [&](const std::string& text) {
        try {
            const Config config = Config::parse(text, "f");
            for (const auto& key : config.keys()) config.has(key);
            ++accepted;
            config.finish();
        } catch (const Error& error) {
            ++refused;
            CHECK(std::string(error.what()).find(':') != std::string::npos);
        }
    };
    for (int i = 0; i < 1000; ++i) {
        std::string noise(random() % 60, '\0');
        for (char& c : noise) c = static_cast<char>(random() % 256);
        attempt(noise);
        std::string damaged = machine;
        for (int hits = 0; hits < 3; ++hits) damaged[random() % damaged.size()] = static_cast<char>(random() % 128);
        attempt(damaged);
    }
    CHECK(accepted > 0);
    CHECK(refused > 1000);
}
