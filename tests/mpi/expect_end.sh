#!/usr/bin/env bash
# expect_end.sh CODE SECONDS TEXT COMMAND...: the command must end with CODE ("fail": any but 0) within SECONDS and print TEXT.
set -uo pipefail
want=$1 seconds=$2 text=$3
shift 3
output=$(timeout --kill-after=5 "$seconds" "$@" 2>&1)
code=$?
printf '%s\n' "$output"
if [[ $code == 124 || $code == 137 && $output != *"signal 9"* ]]; then
    echo "still running after $seconds s"
    exit 1
fi
if [[ $want == fail && $code == 0 || $want != fail && $code != "$want" ]]; then
    echo "ended with $code instead of $want"
    exit 1
fi
if [[ $output != *"$text"* ]]; then
    echo "did not print \"$text\""
    exit 1
fi
