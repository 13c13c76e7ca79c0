#include "core/huge_pages.hpp"

#include <cstdlib>
#include <fstream>
#include <string>

#include "core/error.hpp"

namespace wb {

bool huge_pages_wanted() {
    const char* const text = std::getenv("WB_HUGE_PAGES");
    const std::string word = text ? text : "on";
    if (word != "on" && word != "off")
        throw Error({"WB_HUGE_PAGES", "is \"" + word + "\"", "it says whether large buffers ask for huge pages",
                     "Set it to on or off."});
    return word == "on";
}

double huge_page_bytes() {
    std::ifstream in("/proc/self/smaps_rollup");
    std::string key, unit;
    std::getline(in, unit);  // the range
    for (double kib = 0; in >> key >> kib; std::getline(in, unit))
        if (key == "AnonHugePages:") return 1024 * kib;
    return 0;
}

}  // namespace wb
