#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace wb {

using ParamValue = std::variant<bool, std::int64_t, double, std::string>;
std::string text(const ParamValue& value);

/// What a workload may be asked: name, meaning, and the value if nobody says.
struct ParamSpec {
    std::string name, about;
    std::optional<ParamValue> fallback;     ///< none: must be given
    std::vector<std::string> choices = {};  ///< allowed texts; empty = any
    bool optional = false;                  ///< left out where nobody says: no part of the key
};

/// The parameters of one case, in the order of the workload's specs and complete.
class Params {
public:
    void set(const std::string& name, ParamValue value);
    bool has(const std::string& name) const { return find(name) != nullptr; }
    /// Typed access; a wrong type or a missing name is an Error that names the parameter.
    std::int64_t integer(const std::string& name) const;
    std::int64_t positive(const std::string& name) const;  ///< refuses 0 and less
    bool flag(const std::string& name) const;
    double number(const std::string& name) const;
    const std::string& word(const std::string& name) const;
    const std::vector<std::pair<std::string, ParamValue>>& all() const { return values_; }
    /// "m=1024 n=1024 dtype=f32": the part of a case's key that is the workload's.
    std::string key() const;

private:
    const ParamValue* find(const std::string& name) const;
    std::vector<std::pair<std::string, ParamValue>> values_;
};

/// Parameters by name.
using ParamList = std::vector<std::pair<std::string, ParamValue>>;
/// All of `specs`: what is given, else the fallback. Throws Error for a name that is none of them; what is optional,
/// or has no fallback, and is not given is left out.
Params complete(const std::vector<ParamSpec>& specs, const ParamList& given);

}  // namespace wb
