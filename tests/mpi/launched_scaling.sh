#!/bin/sh
# One run of three ranks covers one, two and three of them, each verified: usage: WAFERBENCH LAUNCHER...
set -e
waferbench=$1
shift
export XDG_CACHE_HOME="$(dirname "$waferbench")/cache" OMP_NUM_THREADS=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/e.toml" <<END
[protocol]
min_samples = 2
max_samples = 3
min_time = "1 ms"
END
for mapping in "1" "tp2" "tp3" "tp2 summa" "tp3 2.5d" "tp4" "tp2 gpipe"; do
  printf '[[system]]\nuse = "host"\nbackends = ["cpu"]\nmapping = "%s"\nworkloads = ["gemm"]\n' "$mapping" >> "$folder/e.toml"
done
for pair in "1 2" "tp3 6"; do
  printf '[[system]]\nuse = "host"\nbackends = ["cpu"]\nmapping = "%s"\nworkloads = ["attention"]\nonly = { heads = %s }\n' \
    "${pair% *}" "${pair#* }" >> "$folder/e.toml"
done
printf '[[system]]\nuse = "host"\nbackends = ["cpu"]\nalgorithm = ["cannon", "distributed"]\nworkloads = ["gemm"]\n' >> "$folder/e.toml"
printf '[[system]]\nuse = "h100-sxm"\nbackends = ["fake"]\ngpus = [1, 3]\nworkloads = ["gemm"]\n' >> "$folder/e.toml"
cat >> "$folder/e.toml" <<END
[[workload]]
use = "gemm"
m = 61
n = 47
k = 53
dtype = "f64"
[[workload]]
use = "attention"
heads = [2, 6]
seq_q = 32
head_dim = 16
dtype = "f32"
END
"$@" 3 "$waferbench" run "$folder/e.toml" -o "$folder/e.h5" --oversubscribe --quiet > "$folder/out" 2>&1 || {
  cat "$folder/out"
  exit 1
}
"$waferbench" show "$folder/e.h5" --wide > "$folder/shown"
fail() { cat "$folder/shown"; echo "$1"; exit 1; }
grep -q "^host, 2 ranks .*measured" "$folder/shown" || fail "two of three ranks"
grep -q "^host summa, 2 ranks .*measured .*[0-9]e[+-][0-9]* <= 1.0e-11" "$folder/shown" || fail "SUMMA is verified"
grep -q "at most 3 ranks, not by the mapping tp4" "$folder/shown" || fail "four of three ranks are refused"
grep -q "not \"gpipe\"" "$folder/shown" || fail "a word that is no spread is refused"
grep -q '3 ranks form no grid on which "cannon"' "$folder/shown" || fail "no square grid of three ranks"
grep -q "^host distributed, 3 ranks .*measured" "$folder/shown" || fail "the fastest way of three ranks"
grep -q "1 x h100-sxm is measured by 1 rank, and there are 3" "$folder/shown" || fail "one unit is not three ranks"
grep -q "^h100-sxm x3, 3 ranks .*measured" "$folder/shown" || fail "three units are three ranks"
grep -q "^strong scaling: gemm on host, cpu" "$folder/shown" || fail "strong scaling"
grep -q "^weak scaling: attention on host, cpu" "$folder/shown" || fail "weak scaling"
test "$(sed -n '/^strong scaling: gemm on host, cpu/,/^$/p' "$folder/shown" | grep -c '^ *[123]  gemm')" = 3 || fail "three rows"
if [ "$(nproc)" -lt 3 ]; then
  grep -q "^From 3 ranks on they took turns on the processors" "$folder/shown" || fail "crowded ranks are marked"
fi
"$waferbench" show "$folder/e.h5" --wide | grep -q "communication  exposed" || fail "exposed communication"
