#!/usr/bin/env python3
"""The table of targets of a GPU: what was reached beside what it is measured by, from the files of scripts/gpu.

usage: scripts/gpu_targets.py FOLDER [--markdown]     FOLDER: holds cuda_bench*.json, gpu.json, peers.json
       scripts/gpu_targets.py --self-test
Exit: 0 every target that could be judged was met, 1 one was missed, 2 nothing could be judged.
"""
import glob
import json
import os
import sys
import tempfile

MATMUL, ATTENTION, MEMORY, TRAINING = 0.98, 0.85, 0.9, 0.9


def benchmarks(path):
    """Name -> counters of a Google Benchmark file; one that was cut off gives what it holds."""
    text = open(path).read()
    try:
        entries = json.loads(text)["benchmarks"]
    except ValueError:
        entries, decoder = [], json.JSONDecoder()
        at = text.find("[", text.find('"benchmarks"'))
        while at >= 0:
            at = text.find("{", at)
            if at < 0:
                break
            try:
                entry, at = decoder.raw_decode(text, at)
            except ValueError:
                break
            entries.append(entry)
    return {e["name"]: e for e in entries if not e.get("error_occurred")}


def kernels(folder):
    out = {}
    for path in sorted(glob.glob(os.path.join(folder, "cuda_bench*.json"))):
        for name, entry in benchmarks(path).items():
            out[name.replace("/manual_time", "")] = entry
    return out


def cases(folder):
    """Case -> median seconds, of the backend "cuda" alone."""
    path, out = os.path.join(folder, "gpu.json"), {}
    if os.path.exists(path):
        for entry in benchmarks(path).values():
            parts = entry.get("run_name", "").split("/")
            if entry.get("aggregate_name") == "median" and len(parts) >= 4 and parts[-2] == "cuda":
                out["/".join(parts[:-3])] = entry["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[entry["time_unit"]]
    return out


def peers(folder):
    """What scripts/gpu_peers.py wrote, a line each: {"case": ..., "library": ..., "seconds": ...}."""
    path, out = os.path.join(folder, "peers.json"), {}
    if os.path.exists(path):
        for line in open(path):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if row.get("seconds", 0) > 0:
                out.setdefault(row["case"], []).append((row["seconds"], row["library"]))
    return out


def rate(text, value):
    return "%.4g %s" % (value / 1e12, text)


def table(folder):
    """Rows of (what, target, reached, measured by, ratio)."""
    k, c, p, rows = kernels(folder), cases(folder), peers(folder), []
    for name, entry in k.items():
        direct = k.get(name.replace("product/", "product_direct/"))
        if name.startswith("product/") and direct:
            rows.append((name, MATMUL, rate("TFLOP/s", entry["FLOP/s"]),
                         rate("TFLOP/s, the best of %d of cuBLASLt" % direct.get("offers", 0), direct["FLOP/s"]),
                         entry["FLOP/s"] / direct["FLOP/s"]))
        apart = k.get(name.replace("/fused", "/separate"))
        if name.startswith("epilogue/") and name.endswith("/fused") and apart:  # told, not asked for
            rows.append((name, 0, rate("TFLOP/s", entry["FLOP/s"]),
                         rate("TFLOP/s, product and own kernels", apart["FLOP/s"]), entry["FLOP/s"] / apart["FLOP/s"]))
    copies = [e["B/s"] for n, e in k.items() if n.startswith("copy")]
    for name, entry in k.items():
        if "B/s" in entry and not name.startswith("copy") and copies:
            rows.append((name, MEMORY, rate("TB/s", entry["B/s"]), rate("TB/s, a copy", max(copies)),
                         entry["B/s"] / max(copies)))
    for case, seconds in c.items():
        if case in p:
            best, library = min(p[case])
            target = TRAINING if case.startswith("train") else ATTENTION
            if "forward_backward" in case:
                target = 0  # told, not asked for
            rows.append((case, target, "%.4g ms" % (1e3 * seconds), "%.4g ms, %s" % (1e3 * best, library),
                         best / seconds))
    return rows


def missing(folder):
    """What of the table could not be judged, and why."""
    k, p, c = kernels(folder), peers(folder), cases(folder)
    out = []
    if not any(n.startswith("product/") for n in k):
        out.append("matmul: no cuda_bench file")
    if not any(n.startswith("copy") for n in k):
        out.append("vector kernels and decode: no bandwidth of a copy")
    for family in ("attention", "train"):
        if not any(case.startswith(family) for case in p):
            out.append(family + ": no peer (PyTorch is not there, or failed)")
        elif not any(case.startswith(family) and case in c for case in p):
            out.append(family + ": no measured case")
    return out


def show(rows, markdown):
    head = ("what", "target", "reached", "measured by", "ratio", "")
    lines = [head] + [(r[0], ">= %.2f" % r[1] if r[1] else "-", r[2], r[3], "%.3f" % r[4],
                       "" if not r[1] else "pass" if r[4] >= r[1] else "FAIL") for r in rows]
    if markdown:
        lines.insert(1, ("---",) * len(head))
        return "\n".join("| " + " | ".join(l) + " |" for l in lines)
    widths = [max(len(l[i]) for l in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(l, widths)).rstrip() for l in lines)


def main(folder, markdown):
    rows = table(folder)
    print(show(rows, markdown))
    for text in missing(folder):
        print("not judged: " + text)
    judged = [r for r in rows if r[1]]
    if not judged:
        return 2
    failed = sum(r[4] < r[1] for r in judged)
    print("%d of %d targets met" % (len(judged) - failed, len(judged)))
    return 1 if failed else 0


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        assert main(folder, False) == 2
        entries = [{"name": "product/bf16/4096/manual_time", "FLOP/s": 98e12},
                   {"name": "product_direct/bf16/4096/manual_time", "FLOP/s": 100e12, "offers": 8.0},
                   {"name": "copy/bf16/manual_time", "B/s": 4e12}, {"name": "softmax/manual_time", "B/s": 3e12}]
        text = json.dumps({"context": {}, "benchmarks": entries})
        open(os.path.join(folder, "cuda_bench.json"), "w").write(text[:-20])  # cut off in the last entry
        rows = table(folder)
        assert [r[0] for r in rows] == ["product/bf16/4096"] and abs(rows[0][4] - 0.98) < 1e-12, rows
        open(os.path.join(folder, "cuda_bench.json"), "w").write(text)
        case = "attention heads=16 seq_q=8192 head_dim=128 causal=true forward 16-bit"
        median = {"name": case, "run_name": case + "/h200-sxm/cuda/measured", "aggregate_name": "median",
                  "real_time": 2e6, "time_unit": "ns"}
        open(os.path.join(folder, "gpu.json"), "w").write(json.dumps({"benchmarks": [median]}))
        with open(os.path.join(folder, "peers.json"), "w") as file:
            for seconds, library in ((1.8e-3, "cudnn"), (1.5e-3, "flash")):
                file.write(json.dumps({"case": case, "library": library, "seconds": seconds}) + "\n")
            file.write('{"case": "cut o')
        ratios = {r[0]: r[4] for r in table(folder)}
        assert abs(ratios["softmax"] - 0.75) < 1e-12 and abs(ratios[case] - 0.75) < 1e-12, ratios
        assert main(folder, True) == 1
        entries[3]["B/s"] = 3.7e12
        entries += [{"name": "epilogue/gelu/%s/manual_time" % way, "FLOP/s": f}
                    for way, f in (("fused", 90e12), ("separate", 60e12))]
        median["real_time"] = 1.6e6
        open(os.path.join(folder, "cuda_bench.json"), "w").write(json.dumps({"benchmarks": entries}))
        open(os.path.join(folder, "gpu.json"), "w").write(json.dumps({"benchmarks": [median]}))
        assert main(folder, False) == 0
        assert [r[4] for r in table(folder) if r[0] == "epilogue/gelu/fused"] == [1.5]
    print("gpu_targets: self-test passed")
    return 0


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "--markdown"]
    if arguments == ["--self-test"]:
        sys.exit(self_test())
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if arguments in (["-h"], ["--help"]) else 2)
    sys.exit(main(arguments[0], "--markdown" in sys.argv))
