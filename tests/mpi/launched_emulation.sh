#!/bin/sh
# What is emulated is the same on any number of ranks; a rank that is killed ends the job and costs its case alone.
# usage: launched_emulation.sh BINARY LAUNCHER... COUNT_FLAG
set -eu
binary=$1
shift
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export XDG_CACHE_HOME="$(dirname "$binary")/cache" OMP_NUM_THREADS=1
cat >case.toml <<'END'
[[system]]
use = "a100-sxm-80g"
backends = ["emulation"]
gpus = [5, 32]
emulation = { payload = "full", straggler = [{ unit = 3, factor = 2 }] }
[[system]]
use = "h100-sxm"
backends = ["emulation"]
gpus = 64
emulation = { uplink = "100 GB/s", slow_link = [{ unit = 9, factor = 4 }] }
[[workload]]
use = "collective"
op = ["allreduce", "alltoall"]
bytes = "38400 B"
dtype = ["f32", "16-bit"]
END
for ranks in 1 2 4; do
    "$@" $ranks "$binary" run case.toml --oversubscribe --quiet --output $ranks.h5
    "$binary" check $ranks.h5
    "$binary" show $ranks.h5 --format csv --wide | sed "s/\"\([^\"]*\), $ranks ranks\"/\1/" >$ranks.csv
    cmp 1.csv $ranks.csv
done
grep -q emulated 1.csv && ! grep -E ',(failed|invalid|timeout),' 1.csv

cat >long.toml <<'END'
[protocol]
verify = false
[[system]]
use = "h100-sxm"
backends = ["emulation"]
gpus = [8, 16384]
algorithm = "ring"
[[workload]]
use = "collective"
op = "allreduce"
bytes = "64 MiB"
dtype = "f32"
END
# Each rank leaves its number: the second is killed once the first case is done and the second, of a minute, is begun.
"$@" 2 sh -c 'echo $$ >"$PMIX_RANK$OMPI_COMM_WORLD_RANK.pid"; exec "$0" "$@"' \
    "$binary" run long.toml --oversubscribe --quiet --output b.h5 >out 2>&1 &
job=$!
tries=0
until [ -f b.journal ] && [ "$(grep -ao '"type":"begun"' b.journal | wc -l)" = 2 ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "the second case never began"; cat out; kill $job; exit 1; }
    sleep 0.2
done
kill -9 "$(cat *1.pid)"
status=0 && wait $job || status=$?
[ "$status" != 0 ] || { echo "a dead rank ended well"; exit 1; }
"$binary" rebuild b.journal
"$binary" check b.h5 | grep "1 cases: 1 ok"
status=0 && "$@" 2 "$binary" run long.toml --oversubscribe --output b.h5 --resume >out 2>&1 || status=$?
[ "$status" = 3 ] || { echo "resume ended with $status"; cat out; exit 1; }
grep "a rank was killed" out
"$binary" check b.h5 | grep "2 cases: 1 ok 1 failed"
