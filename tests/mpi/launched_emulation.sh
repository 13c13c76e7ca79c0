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
cat >case.toml <<'END_OF_FILE'
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
[[system]]
use = "h100-sxm"
backends = ["emulation"]
gpus = 2
[[workload]]
use = "collective"
op = ["allreduce", "alltoall"]
bytes = "38400 B"
dtype = ["f32", "16-bit"]
END_OF_FILE
cat >step.toml <<'END_OF_FILE'
[[system]]
use = "h100-sxm"
backends = ["emulation"]
mapping = "tp2 pp2 dp4 mb4"
emulation = { payload = "full", uplink = "100 GB/s", uplink_units = 4 }
[[system]]
use = "h100-sxm"
backends = ["emulation"]
mapping = "tp2 pp2 dp4 mb4"
emulation = { payload = "sized", failed = [{ unit = 5, at = "300 us" }] }
[[workload]]
use = "train"
model = "tiny-llama"
batch = 16
seq = 64
END_OF_FILE
for ranks in 1 2 4; do
    "$@" $ranks "$binary" run case.toml --oversubscribe --quiet --output $ranks.h5
    status=0 && "$@" $ranks "$binary" run step.toml --oversubscribe --quiet --output step$ranks.h5 2>err || status=$?
    [ "$status" = 3 ] && grep -q "unit 5 failed after 300 us" err || { echo "step ended with $status"; cat err; exit 1; }
    "$binary" check $ranks.h5
    "$binary" check step$ranks.h5 | grep "2 cases: 1 ok 1 failed"
    [ $ranks = 1 ] && continue
    # Times, timelines, communication: equal to the last bit. Two units are too few for four ranks.
    status=0 && "$binary" compare --exact 1.h5 $ranks.h5 >same || status=$?
    if [ $ranks = 4 ]; then
        "$binary" show 4.h5 --format csv |
            grep "4 ranks are more than the 2 units they would play (some would have nothing to do). Start 2 at most"
        [ "$status" = 2 ] && grep "16 compared: 4 CHANGED 12 same" same && [ "$(grep -c 'ok -> skipped' same)" = 4 ]
    else
        [ "$status" = 0 ] && grep "16 compared: 16 same" same
    fi
    "$binary" compare --exact step1.h5 step$ranks.h5 | grep "2 compared: 2 same"
    # The same by another program's eyes, where it is there: every value as it lies in the file.
    if command -v h5diff >/dev/null; then
        for set in cases/time_s samples/time_s spans/start_s spans/duration_s spans/bytes communication/calls \
            communication/bytes_B communication/time_s communication/exposed_s; do
            h5diff step1.h5 step$ranks.h5 /$set
        done
        for set in resource phase; do
            for file in step1 step$ranks; do h5dump -y -d /spans/$set $file.h5 | sed -n '/DATA {/,/}/p' >$file.$set; done
            cmp step1.$set step$ranks.$set
        done
    fi
done
! grep -a '"status":"invalid"' 1.journal

cat >long.toml <<'END_OF_FILE'
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
END_OF_FILE
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
killed=$(date +%s)
status=0 && wait $job || status=$?
[ "$status" != 0 ] || { echo "a dead rank ended well"; exit 1; }
[ $(($(date +%s) - killed)) -lt 15 ] || { echo "the job ended too late"; exit 1; }
"$binary" rebuild b.journal
"$binary" check b.h5 | grep "1 cases: 1 ok"
status=0 && "$@" 2 "$binary" run long.toml --oversubscribe --output b.h5 --resume >out 2>&1 || status=$?
[ "$status" = 3 ] || { echo "resume ended with $status"; cat out; exit 1; }
grep "a rank was killed" out
"$binary" check b.h5 | grep "2 cases: 1 ok 1 failed"
