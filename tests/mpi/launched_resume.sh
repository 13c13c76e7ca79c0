#!/bin/sh
# The shipped pipeline on ranks of this host. A run that goes on from the checkpoint in the middle of a whole one ends
# with its losses, bit for bit. A run that is killed with signal 9 in each of its trainings goes on from the last
# checkpoint without losing a step beyond it; its losses are those of the whole run but for the rounding of the libraries
# that were fastest for its products when it began.
# usage: launched_resume.sh BINARY SOURCE_DIR LAUNCHER...
set -eu
binary=$1 source=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$(dirname "$binary")/cache"

run() {  # FILE [argument...]: every case that this host runs for real
    file=$1
    shift
    "$launcher" run "$source/configs/experiments/pipeline.toml" --filter cpu --set protocol.verify=false --oversubscribe \
        --output "$folder/$file.h5" "$@" </dev/null
}

launcher=$folder/launcher
{
    printf '#!/bin/sh\nexec'
    printf ' "%s"' "$@" "$binary"
    printf ' "$@"\n'
} >"$launcher"
chmod +x "$launcher"

ranks_of() {  # FILE: every process that writes it, the launcher too
    for process in /proc/[0-9]*; do
        [ "$process" != "/proc/$$" ] || continue
        { tr '\0' ' ' <"$process/cmdline"; } 2>/dev/null | grep -q "$folder/$1.h5" && echo "${process#/proc/}"
    done
    true
}

kill_at() {  # CHECKPOINT [argument...]: begins or goes on, and is killed once the checkpoint is there
    checkpoint=$1
    shift
    run part "$@" >"$folder/killed.txt" 2>&1 &
    waited=0
    until find "$folder/part.checkpoints" -name "$checkpoint" 2>/dev/null | grep -q .; do
        sleep 0.2
        waited=$((waited + 1))
        [ "$waited" -lt 3000 ] || { echo "no $checkpoint after 10 minutes"; cat "$folder/killed.txt"; exit 1; }
    done
    pids=$(ranks_of part)
    kill -9 $pids
    wait $! && { echo "the run ended before it was killed at $checkpoint"; exit 1; }
    [ ! -e "$folder/part.h5" ]
    echo "killed at $checkpoint: $pids"
}

run whole
cp -r "$folder/whole.checkpoints" "$folder/middle.checkpoints"
rm "$folder"/middle.checkpoints/*/step-000000400.h5 "$folder"/middle.checkpoints/*/step-000000010.h5
run middle --resume
kill_at step-000000200.h5
kill_at step-000000005.h5 --resume
run part --resume
/usr/bin/python3 - "$folder/whole.h5" "$folder/middle.h5" "$folder/part.h5" <<'END'
import sys
import h5py

def of(path):
    with h5py.File(path) as f:
        text = lambda column: [x.decode() for x in f[column][:]]
        series = list(zip(f["series/case_id"][:], text("series/name"), f["series/at"][:], f["series/value"][:]))
        return series, text("cases/status"), text("cases/detail"), text("cases/label")

(whole, states, _, labels), (middle, _, resumed, _), (part, ends, killed, _) = map(of, sys.argv[1:])
assert states == ends == ["ok", "ok"], (states, ends)
assert "resumed at step 300" in resumed[0] and "resumed at step 5" in resumed[1], resumed
assert whole == middle, [x for x in zip(whole, middle) if x[0] != x[1]][:5]
assert "resumed at step 5" in killed[1], killed
assert [x[:3] for x in whole] == [x[:3] for x in part]  # every step once
apart = max(abs(a[3] / b[3] - 1) for a, b in zip(whole, part))
assert apart < 0.02, apart
for case, label in enumerate(labels):
    losses = [x for x in whole if x[0] == case]
    print(f"{label}: {len(losses)} losses, {losses[0][3]} to {losses[-1][3]} held out, equal to the last bit when resumed")
print(f"killed twice: every step once, losses within {apart:.1e} of the whole run's")
END
