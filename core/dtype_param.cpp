#include "core/dtype_param.hpp"

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb {
namespace {

bool storable(DType t) { return t != DType::int32 && t != DType::tf32 && t != DType::fp4; }

std::vector<std::string> names() {
    std::vector<std::string> out;
    for (DType t : all_dtypes())
        if (storable(t)) out.emplace_back(name(t));
    return out;
}

}  // namespace

ParamSpec dtype_param(const char* fallback) {
    return {"dtype", "element type, or a class (16-bit, 8-bit) each system resolves to its own", std::string(fallback),
            names()};
}

DType dtype_of(const Params& params) {
    const std::string& word = params.word("dtype");
    const auto type = dtype_from_name(word);
    if (!type || !storable(*type))
        throw Error({"dtype", "unknown type \"" + word + "\"", "", did_you_mean(word, names())});
    return *type;
}

}  // namespace wb
