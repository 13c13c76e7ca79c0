#!/bin/sh
# The whole program on several ranks: every case runs, is verified on every rank, and sends what the partition says.
# usage: launched_run.sh BINARY SOURCE_DIR COMMUNICATION_BYTES LAUNCHER...   (bytes of all ranks in one train step)
set -eu
binary=$1 source=$2 bytes=$3
shift 3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export XDG_CACHE_HOME="$(dirname "$binary")/cache" OMP_NUM_THREADS=1
"$@" "$binary" run "$source/tests/mpi/small.toml" --oversubscribe --quiet --output "$folder/out.h5"
"$binary" check "$folder/out.h5"
"$binary" show "$folder/out.h5" --format csv --wide >"$folder/out.csv"
! grep -E ',(failed|skipped|invalid|timeout),' "$folder/out.csv" || { echo "cases did not end well"; exit 1; }
grep '^train' "$folder/out.csv" | grep -q ",$bytes," || { echo "train sent another number of bytes than $bytes"; grep '^train' "$folder/out.csv"; exit 1; }
