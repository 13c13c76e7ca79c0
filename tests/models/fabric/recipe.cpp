#include "tests/models/fabric/recipe.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <ostream>

#include "tests/models/fabric/cook.hpp"
#include "tests/models/fabric/forest.hpp"

namespace wb::fabric::test {

namespace {

std::vector<int> colours_of(const Recipe& r, int all) {
    std::vector<int> colours;
    for (int i = 0; i < all; ++i) colours.push_back(i);
    Dice dice(r.seed);
    dice.shuffle(colours);
    colours.resize(std::min(r.patterns.size(), colours.size()));
    return colours;
}

/// The events of every PE, in the order of the operations.
std::vector<std::vector<Event>> events_of(const Recipe& r, std::vector<std::vector<Tree>>& forests) {
    std::vector<std::vector<Event>> events(static_cast<std::size_t>(r.rows * r.columns));
    Dice palette(r.seed);
    const int usual = palette.between(1, r.longest);
    for (const std::uint32_t seed : r.operations) {
        Dice dice(seed);
        if (forests.empty()) break;
        std::vector<Tree>& forest = forests[static_cast<std::size_t>(dice.below(static_cast<int>(forests.size())))];
        if (forest.empty()) continue;
        Tree& tree = forest[static_cast<std::size_t>(dice.below(static_cast<int>(forest.size())))];
        if (tree.messages.empty()) continue;
        const int colour = tree.routes.begin()->second.colour;
        const bool half = colour % 3 == 0;  // what overtakes at a switch should still be of the same type
        for (const Message& m : tree.messages) {
            const int elements = dice.chance(60) ? usual : dice.between(1, r.longest);
            events[static_cast<std::size_t>(m.sender)].push_back({true, colour, elements, half, m.control});
            for (const int to : m.receivers) {
                // Who hears itself must not wait for its sending to end before it listens.
                if (to == m.sender) events[static_cast<std::size_t>(to)].back().must_overlap = true;
                events[static_cast<std::size_t>(to)].push_back({false, colour, elements, half, false});
            }
        }
        if (tree.once) tree.messages.clear();
    }
    return events;
}

}  // namespace

Script cook(const Recipe& r) {
    Script script = blank(r.rows, r.columns, ideal_mesh(r.ramp_cycles));
    script.mesh.vector_start_cycles = r.vector_start;
    script.mesh.task_start_cycles = r.task_start;
    script.mesh.microthread_start_cycles = r.microthread_start;
    script.mesh.microthreads = r.microthreads;
    const std::vector<int> colours = colours_of(r, script.mesh.colours);
    std::vector<std::vector<Tree>> forests;
    for (std::size_t i = 0; i < colours.size(); ++i) {
        forests.push_back(grow_forest(r.rows, r.columns, colours[i], Dice(r.patterns[i])));
        for (const Tree& tree : forests.back())
            for (const auto& [node, route] : tree.routes)
                script.nodes[static_cast<std::size_t>(node)].routes.push_back(route);
    }
    const std::vector<std::vector<Event>> events = events_of(r, forests);
    Dice dice(r.seed);
    for (std::size_t i = 0; i < events.size(); ++i) {
        Cook cook(script.nodes[i], script.mesh, r.asynchronous, r.races, Dice(r.seed + static_cast<std::uint32_t>(i)));
        cook.write(events[i]);
    }
    for (int i = 0; i < r.breaks; ++i)
        break_a_line(script.nodes[static_cast<std::size_t>(dice.below(r.rows * r.columns))], dice);
    return script;
}

namespace {

rc::Gen<std::vector<std::uint32_t>> seeds(int most) {
    return rc::gen::resize(most, rc::gen::container<std::vector<std::uint32_t>>(
                                     rc::gen::resize(100, rc::gen::arbitrary<std::uint32_t>())));
}

rc::Gen<Recipe> recipes(const rc::Gen<int>& rows, const rc::Gen<int>& columns, const rc::Gen<int>& longest, int colours,
                        int operations) {
    using rc::gen::inRange;
    using rc::gen::set;
    const auto costs = [](int most) {
        return rc::gen::oneOf(rc::gen::just(0), inRange(0, most), inRange(0, 20 * most));
    };
    return rc::gen::build<Recipe>(
        set(&Recipe::rows, rows), set(&Recipe::columns, columns),
        set(&Recipe::ramp_cycles, rc::gen::resize(100, inRange(1, 5))), set(&Recipe::vector_start, costs(6)),
        set(&Recipe::task_start, costs(12)), set(&Recipe::microthread_start, costs(6)),
        set(&Recipe::microthreads, rc::gen::resize(100, inRange(1, 9))), set(&Recipe::longest, longest),
        set(&Recipe::asynchronous, rc::gen::element(0, 20, 50, 80)),
        set(&Recipe::races, rc::gen::weightedElement<bool>({{3, false}, {1, true}})),
        set(&Recipe::breaks, rc::gen::weightedElement<int>({{12, 0}, {5, 1}, {3, 2}})),
        set(&Recipe::patterns, rc::gen::nonEmpty(seeds(colours))), set(&Recipe::operations, seeds(operations)),
        set(&Recipe::seed, rc::gen::resize(100, rc::gen::arbitrary<std::uint32_t>())));
}

}  // namespace

rc::Gen<Recipe> recipes() {
    const auto side = rc::gen::oneOf(rc::gen::inRange(1, 8), rc::gen::resize(100, rc::gen::inRange(1, 8)));
    return recipes(side, side, rc::gen::inRange(1, 50), 7, 31);
}

rc::Gen<Recipe> long_recipes() {
    const auto few = rc::gen::inRange(1, 5), many = rc::gen::inRange(1, 201), length = rc::gen::inRange(1, 400);
    const auto some = rc::gen::inRange(1, 12);
    return rc::gen::oneOf(recipes(few, many, some, 7, 20), recipes(many, few, some, 7, 20),
                          recipes(few, few, length, 7, 20), recipes(few, few, some, 24, 60));
}

std::ostream& operator<<(std::ostream& out, const Recipe& r) {
    return out << fmt::format("Recipe{{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {{{}}}, {{{}}}, {}}}", r.rows,
                              r.columns, r.ramp_cycles, r.vector_start, r.task_start, r.microthread_start,
                              r.microthreads, r.longest, r.asynchronous, r.races, r.breaks, fmt::join(r.patterns, ", "),
                              fmt::join(r.operations, ", "), r.seed);
}

}  // namespace wb::fabric::test
