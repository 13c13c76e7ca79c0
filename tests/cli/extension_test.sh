#!/bin/sh
# A machine, a workload and a backend are added by adding files: in a copy of the tree none of its own files changes, and
# the program built from it runs the new ones.   usage: extension_test.sh SOURCE_DIR
set -eu
source=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() { echo "extension_test: $1" >&2; exit 1; }

mkdir "$folder/tree"
if git -C "$source" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    (cd "$source" && git ls-files -z --cached --others --exclude-standard | tar -cf - --null -T - 2>/dev/null) |
        tar -xf - -C "$folder/tree"
else
    (cd "$source" && tar -cf - --exclude=./build --exclude=./results .) | tar -xf - -C "$folder/tree"
fi
cd "$folder/tree"
git init -q . && git add -A && git -c user.name=test -c user.email=test@localhost commit -qm before

sed -e 's/67 TFLOP\/s/6.7 TFLOP\/s/' -e 's/^title = .*/title = "A machine of one'"'"'s own"/' configs/systems/h100-sxm.toml > configs/systems/mine.toml

cat > kernels/workloads/vector_sum.cpp <<'CPP'
#include "core/dtype_param.hpp"
#include "core/workload.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files&) {
    Graph g("vector_sum");
    const TensorId x = g.input("x", {p.positive("n")}, dtype_of(p)), y = g.input("y", {p.positive("n")}, dtype_of(p));
    g.mark_output(g.add(OpKind::add, "z", {x, y}));
    return g;
}

}  // namespace

Workload vector_sum() {
    return {"vector_sum", "z = x + y", {{"n", "elements", {}}, dtype_param()}, build, [](const Params& p) { return p; }};
}

}  // namespace wb::workloads
CPP

mkdir kernels/mine
echo 'wb_add_backend(mine ABOUT "one TFLOP/s whatever the work")' > kernels/mine/CMakeLists.txt
cat > kernels/mine/mine.cpp <<'CPP'
#include "core/backend.hpp"

namespace wb {

std::unique_ptr<Backend> make_mine();

namespace {

class MineSession final : public Session {
public:
    explicit MineSession(const Case& c) : graph_(c.graph) {}
    Sample run() override { return {Seconds(graph_->flops().si() / 1e12), {}}; }
    ResourceUse usage() const override {
        ResourceUse use;
        use.useful = graph_->flops();
        use.mapping = "one";
        use.detail = "1 TFLOP/s";
        use.band = {0.5, 2, "invented"};
        return use;
    }

private:
    std::shared_ptr<const Graph> graph_;
};

class Mine final : public Backend {
public:
    Kind kind() const override { return Kind::modelled; }
    Support supports(const Case&, int) const override { return {}; }
    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override { return std::make_unique<MineSession>(c); }
};

}  // namespace

std::unique_ptr<Backend> make_mine() { return std::make_unique<Mine>(); }

}  // namespace wb
CPP

changed=$(git status --porcelain --untracked-files=all | grep -v '^??' || true)
[ -z "$changed" ] || fail "files of the tree changed: $changed"
[ "$(git status --porcelain --untracked-files=all | wc -l)" -eq 4 ] || fail "not four new files: $(git status --porcelain)"

cmake -S . -B "$folder/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DWB_MPI=OFF -DWB_TESTS=OFF -DWB_BENCH=OFF > "$folder/log" 2>&1 ||
    { cat "$folder/log"; fail "cannot be configured"; }
cmake --build "$folder/build" --target waferbench > "$folder/log" 2>&1 || { tail -n 40 "$folder/log"; fail "cannot be built"; }
[ -z "$(git status --porcelain | grep -v '^??' || true)" ] || fail "building changed files of the tree"

cat > "$folder/e.toml" <<'TOML'
[protocol]
min_time = "0"
[[workload]]
use = "gemm"
m = 100
n = 100
k = 50
[[workload]]
use = "vector_sum"
n = 1000
[[system]]
use = "mine"
backends = ["mine", "reference", "roofline"]
TOML
cd "$folder"
program=$(find build -name waferbench -type f -perm -u+x | head -n 1)
"$program" list --format csv > list
"$program" run e.toml -o r.h5 --format csv --configs tree/configs > out || { cat out; fail "the run failed"; }
expect() { grep -q "$1" "$2" || { cat "$2"; fail "no line with $1"; }; }
expect "^backends,mine,one TFLOP/s whatever the work (modelled)" list
expect "^workloads,vector_sum,z = x + y" list
expect "^systems,mine,A machine of one's own" list
expect "^gemm m=100 n=100 k=50,mine,mine,modelled,1e-06," out
expect "^gemm m=100 n=100 k=50,mine,reference,measured,[0-9]" out
expect "^gemm m=100 n=100 k=50,mine,roofline,bound,1.4925[0-9]*e-07," out
expect "^vector_sum n=1000,mine,mine,modelled,1e-09," out
expect "^vector_sum n=1000,mine,reference,measured,[0-9]" out
"$program" check r.h5
echo "extension_test: ok"
