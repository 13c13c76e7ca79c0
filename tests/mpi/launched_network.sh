#!/bin/sh
# Messages between two ranks are measured and stored, and the cluster model takes them: usage: WAFERBENCH LAUNCHER...
set -e
waferbench=$1
shift
export XDG_CACHE_HOME="$(dirname "$waferbench")/cache" OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/systems"

# One rank has nobody to send to.
if "$waferbench" network > "$folder/alone" 2>&1; then echo "one rank measured a network"; exit 1; fi
grep -q "one rank has nobody to send to" "$folder/alone"

"$@" 2 "$waferbench" network --budget "0.1 s" --largest "32 KiB" --output "$folder/systems/host-network.toml" > "$folder/out"
grep -q "Predicted from single messages, error of the median collective" "$folder/out"
grep -q "^reduce_scatter" "$folder/out"
grep -q "exchange_4096_time" "$folder/systems/host-network.toml"
"$waferbench" describe host-network --configs "$folder" | grep -q "loggp_latency"

cat > "$folder/e.toml" <<END
[[system]]
use = "host-network"
units = 2
backends = ["cluster"]
[[workload]]
use = "collective"
op = ["allreduce", "broadcast"]
bytes = "16 KiB"
dtype = "f32"
END
"$waferbench" run "$folder/e.toml" --configs "$folder" -o "$folder/e.h5" --format csv > "$folder/shown" 2> /dev/null
test "$(grep -c "host-network x2,cluster,modelled" "$folder/shown")" = 2
