#include "core/dtype.hpp"

#include <array>

namespace wb {
namespace {

struct Row {
    DType type;
    std::string_view name;
    int bits;
    double roundoff;  // 2^-(stored mantissa bits + 1)
};

constexpr std::array rows{
    Row{DType::f64, "f64", 64, 0x1p-53},
    Row{DType::f32, "f32", 32, 0x1p-24},
    Row{DType::tf32, "tf32", 32, 0x1p-11},
    Row{DType::bf16, "bf16", 16, 0x1p-8},
    Row{DType::f16, "f16", 16, 0x1p-11},
    Row{DType::fp8_e4m3, "fp8_e4m3", 8, 0x1p-4},
    Row{DType::fp8_e5m2, "fp8_e5m2", 8, 0x1p-3},
    Row{DType::fp4, "fp4", 4, 0x1p-2},
    Row{DType::int8, "int8", 8, 0.0},
    Row{DType::int32, "int32", 32, 0.0},
    Row{DType::any16, "16-bit", 16, 0x1p-8},
    Row{DType::any8, "8-bit", 8, 0x1p-3},
};

const Row& row(DType type) { return rows[static_cast<std::size_t>(type)]; }

}  // namespace

int bits(DType type) { return row(type).bits; }
std::string_view name(DType type) { return row(type).name; }
double unit_roundoff(DType type) { return row(type).roundoff; }

std::optional<DType> dtype_from_name(std::string_view text) {
    for (const Row& r : rows)
        if (r.name == text) return r.type;
    return std::nullopt;
}

const std::vector<DType>& all_dtypes() {
    static const std::vector<DType> types = [] {
        std::vector<DType> out;
        for (const Row& r : rows) out.push_back(r.type);
        return out;
    }();
    return types;
}

bool belongs_to(DType type, DType group) {
    if (type == group) return true;
    if (group == DType::any16) return type == DType::bf16 || type == DType::f16;
    if (group == DType::any8) return type == DType::fp8_e4m3 || type == DType::fp8_e5m2 || type == DType::int8;
    return false;
}

}  // namespace wb
