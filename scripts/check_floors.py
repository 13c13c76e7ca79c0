#!/usr/bin/env python3
"""Checks who includes whom, who owns which foreign library, and the length of files.

usage: check_floors.py [ROOT]      prints "file:line: problem" for each breach; exit 1 if there is one
       check_floors.py --self-test breaks every rule in a temporary tree, and expects to find each breach
"""
import fnmatch
import pathlib
import re
import sys
import tempfile

FOLDERS = ("core", "kernels", "models", "harness", "tests")
GENERATED = ("wb_tables.hpp", "generated/*")  # the tables of workloads and backends that the build writes
MOST_LINES, MANY_LINES = 500, 400

# Foreign header: the files that may include it.
OWNERS = {
    "toml++/*": ["core/config_node.cpp"],
    "hdf5*.h": ["harness/hdf5_*"],
    "H5*": ["harness/hdf5_*"],
    "mpi.h": ["harness/mpi_*"],
    "hwloc*": ["harness/host_probe.cpp"],
    "dnnl*": ["kernels/cpu/*", "kernels/bench/*"],
    "oneapi/dnnl/*": ["kernels/cpu/*", "kernels/bench/*"],
    "*cblas*.h": ["kernels/cpu/*"],
    "cuda*": ["kernels/cuda/*"],
    "cublas*": ["kernels/cuda/*"],
    "nlohmann/*": ["*.cpp"],
    "onnx/*": ["kernels/workloads/onnx/load.cpp"],
    "google/protobuf/*": ["kernels/workloads/onnx/load.cpp"],
    "CLI/*": ["harness/*.cpp"],
    "doctest/*": ["tests/*"],
    "rapidcheck*": ["tests/*"],
    "benchmark/*": ["kernels/bench/*", "kernels/*/bench/*", "harness/bench/*", "models/*/bench/*"],
}
CORE_MAY = ("fmt/*", "*intrin.h")  # besides the standard library and what OWNERS gives to a file of core

# Devices belong into configs/: code that knows one by name cannot be fair to the others.
DEVICES = re.compile(
    r"\b([ahbv]100|[abh]200|gb200|gh200|b300|h20|h800|mi\d{3}x?|wse-?\d?|cs-?[123]|tpu(_?v\d\w*)?|trainium\d?|gaudi\d?|"
    r"cerebras|dojo|ipu|dgx|xeon|epyc)\b", re.IGNORECASE)
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def sources(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp", ".h", ".cu", ".cuh") and path.is_file():
                yield path.relative_to(root).as_posix()


def part(path):
    """The floor's unit a file belongs to: core, kernels/cpu, models (a file of the folder itself), models/wafer, ..."""
    folders = path.split("/")[:-1]
    return "/".join(folders[:2]) if folders[0] in ("kernels", "models") else folders[0]


def forbidden_own(path, target):
    """Why `path` may not include our own file `target`; None if it may."""
    mine, theirs = part(path), part(target)
    if mine in ("tests", theirs) or theirs == "core" or (mine == "kernels/bench" and target == "harness/mpi_comm.hpp"):
        return None  # benches of what runs on several ranks need these
    if theirs in ("harness", "tests"):
        return f"{theirs} may be included by {'harness and ' if theirs == 'harness' else ''}tests only"
    if mine == "core":
        return "core includes nothing above it"
    if mine == "harness":
        return "harness knows workloads and backends only as rows of the generated tables"
    if mine == "kernels/bench":
        return None
    if mine.startswith("models/") and theirs == "models":
        return None
    if mine == "kernels/workloads":
        return "a workload knows no backend and no model"
    return f"{mine} and {theirs} are not to know each other"


def check_include(path, own, foreign, known):
    if own is not None:
        if matches(own, GENERATED):
            return None if part(path) in ("harness", "tests") else "the generated tables are for harness and tests"
        if own not in known:
            neighbour = path.rpartition("/")[0] + "/" + own
            return f'"{own}" is no path from the root' if "/" in own or neighbour in known else None
        return forbidden_own(path, own)
    if part(path) == "tests":  # a test may look at a file with another library than the one under test
        return None
    for pattern, owners in OWNERS.items():
        if fnmatch.fnmatchcase(foreign, pattern):
            return None if matches(path, owners) else f"<{foreign}> belongs to {' and '.join(owners)}"
    if part(path) == "core" and ("/" in foreign or foreign.endswith(".h")) and not matches(foreign, CORE_MAY):
        return f"core uses the standard library, intrinsics and fmt, not <{foreign}>"
    return None


def find_circles(includes):
    """One "a -> b -> a" for each file that closes a circle; `includes` maps file -> {target: line}."""
    state, found = {}, []

    def visit(path, trail):
        state[path] = "open"
        for target, line in includes.get(path, {}).items():
            if state.get(target) == "open":
                found.append((path, line, "include circle: " + " -> ".join(trail[trail.index(target):] + [target])))
            elif target not in state:
                visit(target, trail + [target])
        state[path] = "closed"

    for path in includes:
        if path not in state:
            visit(path, [path])
    return found


def check(root):
    """Breaches and warnings, each a list of (file, line, text)."""
    breaches, warnings, includes = [], [], {}
    known = set(sources(root))
    for path in sorted(known):
        lines = (root / path).read_text(encoding="utf-8").splitlines()
        includes[path] = {}
        for number, line in enumerate(lines, 1):
            found = INCLUDE.match(line)
            if found:
                own, foreign = found.groups()
                problem = check_include(path, own, foreign, known)
                if problem:
                    breaches.append((path, number, problem))
                if own in known:
                    includes[path].setdefault(own, number)
            device = None if path.startswith("tests/") else DEVICES.search(line)
            if device:
                breaches.append((path, number, f'"{device[0]}" is a device: code knows none by name, configs/ do'))
        if len(lines) > MOST_LINES:
            breaches.append((path, len(lines), f"{len(lines)} lines, more than {MOST_LINES}"))
        elif len(lines) > MANY_LINES:
            warnings.append((path, len(lines), f"warning: {len(lines)} lines, more than {MANY_LINES}"))
    return breaches + find_circles(includes), warnings


# File, its text, and a piece of the complaint that it must cause (None: it must pass).
SELF_TEST = [
    ("core/good.hpp", "#include <vector>\n#include <fmt/format.h>\n", None),
    ("core/config_node.cpp", "#include <toml++/toml.h>\n", None),
    ("core/up.cpp", '#include "models/roofline.hpp"\n', "core includes nothing above"),
    ("core/foreign.cpp", "#include <omp.h>\n", "and fmt, not <omp.h>"),
    ("core/toml.cpp", "#include <toml++/toml.h>\n", "belongs to core/config_node.cpp"),
    ("core/circle_a.hpp", '#include "core/circle_b.hpp"\n', None),
    ("core/circle_b.hpp", '#include "core/circle_a.hpp"\n', "include circle: core/circle_a.hpp -> core/circle_b.hpp"),
    ("core/device.cpp", "// fast on an\n// H100 only\n", '"H100" is a device'),
    ("core/long.cpp", "\n" * 501, "501 lines"),
    ("core/longish.cpp", "\n" * 401, None),
    ("core/lost.cpp", '#include "core/nowhere.hpp"\n', "no path from the root"),
    ("kernels/workloads/gemm.hpp", '#include "core/good.hpp"\n', None),
    ("kernels/workloads/bad.cpp", '#include "kernels/cpu/cpu.hpp"\n', "a workload knows no backend"),
    ("kernels/workloads/model.cpp", '#include "models/roofline.hpp"\n', "a workload knows no backend"),
    ("kernels/workloads/onnx/load.cpp", "#include <onnx/onnx_pb.h>\n", None),
    ("kernels/workloads/onnx/other.cpp", "#include <onnx/onnx_pb.h>\n", "belongs to kernels/workloads/onnx/load.cpp"),
    ("kernels/cpu/cpu.hpp", '#include "core/good.hpp"\n', None),
    ("kernels/cpu/blas.cpp", "#include <cblas.h>\n#include <oneapi/dnnl/dnnl.hpp>\n", None),
    ("kernels/cpu/side.cpp", '#include "kernels/reference/plain.hpp"\n', "not to know each other"),
    ("kernels/reference/plain.hpp", "#include <cmath>\n", None),
    ("kernels/reference/blas.cpp", "#include <cblas.h>\n", "belongs to kernels/cpu/*"),
    ("kernels/reference/dnnl.cpp", "#include <dnnl.h>\n", "belongs to kernels/cpu/*"),
    ("kernels/reference/table.cpp", '#include "wb_tables.hpp"\n', "generated tables"),
    ("kernels/reference/up.cpp", '#include "harness/runner.hpp"\n', "harness may be included by"),
    ("kernels/bench/gemm_bench.cpp", '#include <benchmark/benchmark.h>\n#include "kernels/cpu/cpu.hpp"\n', None),
    ("models/roofline.hpp", '#include "core/good.hpp"\n', None),
    ("models/down.cpp", '#include "models/wafer/place.hpp"\n', "not to know each other"),
    ("models/wafer/place.hpp", '#include "models/roofline.hpp"\n', None),
    ("models/cluster/side.cpp", '#include "models/wafer/place.hpp"\n', "not to know each other"),
    ("models/cluster/mpi.cpp", "#include <mpi.h>\n", "belongs to harness/mpi_*"),
    ("harness/mpi_comm.cpp", "#include <mpi.h>\n", None),
    ("harness/runner.hpp", '#include "core/good.hpp"\n', None),
    ("harness/runner.cpp", '#include "harness/runner.hpp"\n#include "wb_tables.hpp"\n', None),
    ("harness/hdf5_file.cpp", "#include <hdf5.h>\n", None),
    ("harness/store.cpp", "#include <hdf5.h>\n", "belongs to harness/hdf5_*"),
    ("harness/probe.cpp", "#include <hwloc.h>\n", "belongs to harness/host_probe.cpp"),
    ("harness/json.hpp", "#include <nlohmann/json.hpp>\n", "belongs to *.cpp"),
    ("harness/backend.cpp", '#include "kernels/cpu/cpu.hpp"\n', "only as rows of the generated tables"),
    ("harness/test.cpp", '#include "tests/tool.hpp"\n', "tests may be included by tests only"),
    ("tests/tool.hpp", '#include "harness/runner.hpp"\n#include <doctest/doctest.h>\n#include <toml++/toml.h>\n// a100\n', None),
]


def self_test():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text, _ in SELF_TEST:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        breaches, warnings = check(root)
        for path, _, expected in SELF_TEST:
            found = [text for file, _, text in breaches if file == path]
            if len(found) != (expected is not None) or (expected and expected not in found[0]):
                print(f"self-test: {path}: expected {expected!r}, found {found}")
                failures += 1
        if ("core/device.cpp", 2) not in [(file, line) for file, line, _ in breaches]:
            print("self-test: core/device.cpp: wrong line")
            failures += 1
        if [file for file, _, _ in warnings] != ["core/longish.cpp"]:
            print(f"self-test: expected a warning for core/longish.cpp, found {warnings}")
            failures += 1
    print(f"self-test: {len(SELF_TEST)} files, {failures} wrong verdicts")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        return 1 if self_test() else 0
    root = pathlib.Path(arguments[0]) if arguments else pathlib.Path(__file__).resolve().parent.parent
    breaches, warnings = check(root)
    for path, line, text in sorted(breaches + warnings):
        print(f"{path}:{line}: {text}")
    count = sum(1 for _ in sources(root))
    print(f"floors: {count} files, {len(breaches)} breaches")
    return 1 if breaches or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
