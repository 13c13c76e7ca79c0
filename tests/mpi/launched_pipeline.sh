#!/bin/sh
# A text becomes a dataset, ranks train on it, and the results say how it was read.
# usage: launched_pipeline.sh BINARY SOURCE_DIR HOW_IT_IS_READ MAPPINGS LAUNCHER...   mappings as in "dp2,tp2"
set -eu
binary=$1 source=$2 how=$3 mappings=$4
shift 4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$(dirname "$binary")/cache" OMP_NUM_THREADS=1
"$binary" tokenize "$source/configs/data/genesis.txt" -o "$folder/text.h5"
echo "$mappings" | tr , '\n' >"$folder/mappings"
while read -r mapping; do
    "$@" "$binary" run "$source/configs/experiments/pipeline.toml" --filter "cpu tiny-gpt2" --set workload.0.data="$folder/text.h5" \
        --set workload.0.steps=8 --set workload.0.checkpoint_every=4 --set workload.0.evaluate_batches=2 \
        --set 'system.0.use="host"' --set "system.0.mapping=$mapping" --oversubscribe --output "$folder/$mapping.h5" \
        </dev/null >"$folder/out.txt"
    "$binary" check "$folder/$mapping.h5"
    grep -q "read by $how" "$folder/out.txt" || { cat "$folder/out.txt"; exit 1; }
    ls "$folder/$mapping.checkpoints"/*/step-000000008.h5
done <"$folder/mappings"
