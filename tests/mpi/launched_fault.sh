#!/bin/sh
# What the whole program does when one rank fails, dies, or has nothing to do.
# usage: launched_fault.sh BINARY LAUNCHER...   (the launcher starts 2 ranks)
set -eu
binary=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export XDG_CACHE_HOME="$(dirname "$binary")/cache" OMP_NUM_THREADS=1
cat >faults.toml <<'END'
[protocol]
min_samples = 3
max_samples = 3
verify = false
[[system]]
use = "host"
backends = ["fake"]
[[workload]]
use = "gemm"
m = [64, 65, 66, 67]
n = 64
k = 64
END
expect() {  # exit code, text in the output, command
    wanted=$1 text=$2 && shift 2
    status=0 && "$@" >out 2>&1 || status=$?
    [ "$status" = "$wanted" ] || { echo "exit $status instead of $wanted"; cat out; exit 1; }
    grep -q "$text" out || { echo "not said: $text"; cat out; exit 1; }
}

# 908: the last rank throws. The case fails on all ranks, the others of the sweep are tried, nobody waits for ever.
expect 3 "reproduce: mpirun -n 2" timeout 60 "$@" "$binary" run faults.toml --oversubscribe --output a.h5 --set seed=908
expect 0 "4 cases: 4 failed" "$binary" check a.h5

# 909: the last rank is killed at its first run. The job ends; what was finished before is in the journal.
expect 0 "4 cases" "$@" "$binary" run faults.toml --oversubscribe --output b.h5
sed -i 's/m = \[64/m = [60, 64/' faults.toml
status=0 && timeout 60 "$@" "$binary" run faults.toml --oversubscribe --output b.h5 --resume --set seed=909 >out 2>&1 || status=$?
[ "$status" != 0 ] && [ "$status" != 124 ] || { echo "a dead rank ended with $status"; cat out; exit 1; }
rm b.h5
expect 0 "b.h5" "$binary" rebuild b.journal
expect 0 "4 cases: 4 ok" "$binary" check b.h5

# A shape that cannot be shared is skipped with the reason.
cat >narrow.toml <<'END'
[[system]]
use = "host"
backends = ["cpu"]
[[workload]]
use = "attention"
heads = 3
seq_q = 8
head_dim = 4
END
if "$binary" list backends | grep -q "^cpu .*not built"; then exit 0; fi
expect 0 "cannot be shared by 2 ranks" "$@" "$binary" run narrow.toml --oversubscribe --output c.h5
