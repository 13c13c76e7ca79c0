#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace wb {

/// Element types. `any16` and `any8` are classes: every system resolves them to the type it is built for (a wafer to
/// f16, a CPU to bf16), so that one workload, with one fingerprint, runs on all of them.
enum class DType : std::uint8_t { f64, f32, tf32, bf16, f16, fp8_e4m3, fp8_e5m2, fp4, int8, int32, any16, any8 };

/// Bits of one element in memory.
int bits(DType type);

/// The name used in configurations, tables and results: "bf16", "16-bit".
std::string_view name(DType type);

std::optional<DType> dtype_from_name(std::string_view text);

/// All types a user may write, in the order shown to them.
const std::vector<DType>& all_dtypes();

inline bool is_class(DType type) { return type == DType::any16 || type == DType::any8; }

/// True if `type` is one of the concrete types of the class `group`, or the same type.
bool belongs_to(DType type, DType group);

/// Half the gap between 1 and the next value: what one rounding may change, relative (0 for integers).
double unit_roundoff(DType type);

}  // namespace wb
