#include "harness/text_table.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.hpp"

using namespace wb;

namespace {

TextTable example() {
    TextTable table(
        {{"case"}, {"median", Align::right, "time", "s"}, {"noise", Align::right, "time"}, {"verdict", Align::centre}});
    table.row({"gemm 4096", {"1.25 ms", 0.00125}, "1.2 %", {"ok", Emphasis::good}});
    table.section("models, exact");
    table.row({"größe µ 波", {"n/a", std::nan("")}, "-", {"failed", Emphasis::bad}});
    table.row({"a|b, \"c\"", {"0.1 s", 0.1}});
    return table;
}

}  // namespace

TEST_CASE("display width") {
    CHECK(display_width("") == 0);
    CHECK(display_width("abc") == 3);
    CHECK(display_width("µs ±") == 4);
    CHECK(display_width("e\u0301") == 1);
    CHECK(display_width("波🚀") == 4);
    CHECK(display_width("\xff\xc3") == 2);
    CHECK(fit("abcdef", 6) == "abcdef");
    CHECK(fit("abcdefg", 6) == "abcde…");
    CHECK(fit("波波波", 4) == "波…");
    CHECK(fit("abc", 1) == "…");
    CHECK(fit("abc", 0) == "");
}

TEST_CASE("terminal") {
    CHECK(example().terminal() ==
          "                 time\n"
          "case         median  noise  verdict\n"
          "gemm 4096   1.25 ms  1.2 %    ok\n"
          "\n"
          "models, exact\n"
          "größe µ 波      n/a      -  failed\n"
          "a|b, \"c\"      0.1 s\n");
    TextTable coloured({{"x", Align::right}});
    coloured.row({{"12", Emphasis::bad}});
    coloured.row({{"3"}});
    CHECK(coloured.terminal(true) == " \x1b[1mx\x1b[0m\n\x1b[31m12\x1b[0m\n 3\n");
    CHECK(example().terminal(false).find('\x1b') == std::string::npos);
}

TEST_CASE("a wide group widens its last column") {
    TextTable table({{"a", Align::left, "a very wide group"}, {"b", Align::left, "a very wide group"}, {"c"}});
    table.row({"1", "2", "3"});
    CHECK(table.terminal() == "a very wide group\na  b               c\n1  2               3\n");
}

TEST_CASE("Markdown") {
    CHECK(example().markdown() ==
          "| case | time median | time noise | verdict |\n"
          "| --- | ---: | ---: | :---: |\n"
          "| gemm 4096 | 1.25 ms | 1.2 % | ok |\n"
          "\n"
          "**models, exact**\n"
          "\n"
          "| case | time median | time noise | verdict |\n"
          "| --- | ---: | ---: | :---: |\n"
          "| größe µ 波 | n/a | - | **failed** |\n"
          "| a\\|b, \"c\" | 0.1 s |  |  |\n");
}

TEST_CASE("CSV") {
    CHECK(example().csv() ==
          "section,case,time median [s],time noise,verdict\n"
          ",gemm 4096,0.00125,1.2 %,ok\n"
          "\"models, exact\",größe µ 波,,-,failed\n"
          "\"models, exact\",\"a|b, \"\"c\"\"\",0.1,,\n");
}

TEST_CASE("JSON") {
    const auto json = nlohmann::json::parse(example().json());
    CHECK(json["columns"][1]["unit"] == "s");
    CHECK(json["rows"].size() == 3);
    CHECK(json["rows"][0]["time median"] == 0.00125);
    CHECK(json["rows"][0]["section"] == "");
    CHECK(json["rows"][1]["time median"].is_null());
    CHECK(json["rows"][2]["case"] == "a|b, \"c\"");
    TextTable bytes({{"x"}});
    bytes.row({"\xff"});
    CHECK(nlohmann::json::parse(bytes.json())["rows"][0]["x"] == "\uFFFD");
}

TEST_CASE("what a cell says besides its number stands in a column of its own for programs") {
    TextTable t({{"a"}, {"b", Align::right, "", "s", true}});
    t.section("one");
    t.row({"x", {"1 s, guessed", 1.0}});
    t.row({"y"});
    CHECK(with_words(t).csv() == "section,a,b [s],\"b, in words\"\none,x,1,\"1 s, guessed\"\none,y,,\n");
    CHECK(with_words(t).section_of(1) == "one");
}

TEST_CASE("an empty table has a header, a row too long is a mistake") {
    TextTable table({{"a"}, {"b"}});
    CHECK(table.empty());
    CHECK(table.terminal() == "a  b\n");
    CHECK(table.markdown() == "| a | b |\n| --- | --- |\n");
    CHECK(table.csv() == "a,b\n");
    CHECK(nlohmann::json::parse(table.json())["rows"].empty());
    CHECK_THROWS_AS(table.row({"1", "2", "3"}), ContractError);
}

TEST_CASE("LaTeX: rules of booktabs, sections, and nothing that LaTeX takes for a command") {
    wb::TextTable t({{"a_b"}, {"n", wb::Align::right, "g"}});
    t.section("50 % & more");
    t.row({"x^2 {y} \\", {"1", 1.0}});
    CHECK(t.latex() ==
          "\\begin{tabular}{lr}\n\\toprule\na\\_b & g n \\\\\n\\midrule\n\\addlinespace\n"
          "\\multicolumn{2}{l}{50 \\% \\& more} \\\\\nx\\^{}2 \\{y\\} \\textbackslash{} & 1 \\\\\n"
          "\\bottomrule\n\\end{tabular}\n");
    CHECK(t.rows() == 1);
    CHECK(t.section_of(0) == "50 % & more");
    CHECK(wb::in_latex("a<b>|\nc") == "a\\textless{}b\\textgreater{}\\textbar{} c");
    CHECK(t.latex("a & b").find("\\begin{longtable}{lr}\n\\caption{a \\& b} \\\\\n\\toprule\n") == 0);
    CHECK(t.latex("a").ends_with("\\bottomrule\n\\end{longtable}\n"));
    wb::TextTable bracket({{"a"}});
    bracket.row({"[1]"});  // after \\ that would be a length
    CHECK(bracket.latex().find("\n{}[1] \\\\\n") != std::string::npos);
}
