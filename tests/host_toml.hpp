#pragma once

/// A host in round figures, of no real machine: enough that nothing is measured.
constexpr const char* host_toml = R"(title = "A host for tests"
vendor = "nobody"
kind = "host"
[sources]
test = "invented for tests"
[unit]
name = "host"
parts = { value = 4, of = "core", source = "test" }
clock = { value = "1 GHz", source = "test" }
[unit.peak]
f64 = { value = "50 GFLOP/s", source = "test" }
f32 = { value = "100 GFLOP/s", source = "test" }
bf16 = { value = "100 GFLOP/s", source = "test" }
[unit.native]
16-bit = "bf16"
[[unit.memory]]
name = "DRAM"
capacity = { value = "64 GB", source = "test" }
bandwidth = { value = "10 GB/s", source = "test" }
)";
