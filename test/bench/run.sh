#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Times `motion-agent copy` against rsync and cp -a, side by side, on this machine:
#
#   test/bench/run.sh [RUNS]        (make bench; RUNS is 3)
#
# Environment: BENCH_DIR (a folder with room for 3 x the data, default a temporary
# one), FILES (20000), BIG_MIB (512), KEEP=1.
#
# What is fair about it, and what is not:
#   - runs are interleaved, every timer stops after `sync -f` of the target, and
#     the figure is the median of the ratios of neighbouring runs;
#   - caches are dropped before every run where this user may;
#   - after every run an independent oracle (rsync --checksum, all metadata)
#     compares the trees: a difference voids the row;
#   - rsync runs without ssh and so without encryption, and cp without a network:
#     both have less to do than the engine, which is two processes and TLS.
set -euo pipefail
cd "$(dirname "$0")/../.."

runs=${1:-3}
files=${FILES:-20000}
big=${BIG_MIB:-512}
agent=$PWD/bin/motion-agent
top=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/motion-bench.XXXXXX")
[ -n "${KEEP:-}" ] || trap 'rm -rf "$top"' EXIT

drop() {
  sync
  if [ -w /proc/sys/vm/drop_caches ]; then echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true; fi
}

# timed TARGET COMMAND...: seconds until COMMAND is done and TARGET is on disk.
timed() {
  local target=$1 begin end
  shift
  drop
  begin=$(date +%s.%N)
  "$@" >"$top/out" 2>&1 || { cat "$top/out" >&2; return 1; }
  sync -f "$target"
  end=$(date +%s.%N)
  awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }'
}

same() {
  local diff
  diff=$(rsync -naHAXS --delete --checksum --itemize-changes "$1/" "$2/")
  [ -z "$diff" ] || { printf 'the trees differ:\n%s\n' "$diff" >&2; return 1; }
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# row NAME: medians of both and of the pairwise ratio, from $top/ours and $top/peer.
row() {
  local ratio
  ratio=$(paste "$top/ours" "$top/peer" | awk '{ printf "%.3f\n", $1 / $2 }' | tee "$top/ratios" | median)
  printf '| %s | %s | %s | %s | %s .. %s |\n' "$1" "$(median <"$top/ours")" "$(median <"$top/peer")" "$ratio" \
    "$(sort -n "$top/ratios" | head -n 1)" "$(sort -n "$top/ratios" | tail -n 1)"
}

ours() { "$agent" copy --state "$top/state" "$1" "$2"; }
peer() { rsync -aHAXS --numeric-ids --delete "$1/" "$2/"; }
peer_inplace() { rsync -aHAX --numeric-ids --delete --inplace --no-whole-file "$1/" "$2/"; }

# compare NAME PEER SRC CHANGE: a row of neighbouring runs. CHANGE is run on SRC
# before each pair; the targets are what the pair before left, unless CHANGE is
# "first": then they are new.
compare() {
  local name=$1 peer=$2 src=$3 change=$4 i
  : >"$top/ours" && : >"$top/peer"
  for ((i = 0; i < runs; i++)); do
    if [ "$change" = first ]; then
      rm -rf "$top/a" "$top/b" "$top/state"
      mkdir "$top/a" "$top/b" "$top/state"
    else
      $change "$src" "$i"
    fi
    timed "$top/a" ours "$src" "$top/a" >>"$top/ours"
    timed "$top/b" "$peer" "$src" "$top/b" >>"$top/peer"
    same "$src" "$top/a" && same "$src" "$top/b"
  done
  row "$name"
}

nothing() { :; }
some_files() { # 1 % of the files get other content
  find "$1" -name "*$(printf %02d "$2").txt" | while read -r f; do echo "changed $2" >>"$f"; done
}
some_pages() { # 1 % of the 8 KiB pages, anywhere
  awk -v seed="$2" -v n=$((big * 128)) 'BEGIN { srand(seed + 1); for (i = 0; i < n / 100; i++) print int(rand() * n) }' |
    while read -r page; do
      dd if=/dev/urandom of="$1/big" bs=8k seek="$page" count=1 conv=notrunc status=none
    done
}

small=$top/small
mkdir -p "$small"
awk -v n="$files" -v top="$small" 'BEGIN {
  srand(7)
  for (i = 0; i < n; i++) {
    dir = sprintf("%s/d%03d", top, i / 200)
    if (i % 200 == 0) system("mkdir -p " dir)
    file = sprintf("%s/f%06d%02d.txt", dir, i, i % 100)
    lines = 10 + int(rand() * 300)
    for (l = 0; l < lines; l++) printf "line %d of file %d %f\n", l, i, rand() > file
    close(file)
  }
}'
mkdir -p "$top/data"
head -c "$((big << 19))" /dev/urandom >"$top/data/big"
{ yes '{"id":12345,"name":"somebody","active":true}' || true; } | head -c "$((big << 19))" >>"$top/data/big"

printf '%s files of 0.3 to 9 KiB (%s), one file of %s MiB (half of it does not compress); %s runs, %s cores, kernel %s\n\n' \
  "$files" "$(du -sh "$small" | cut -f1)" "$big" "$runs" "$(nproc)" "$(uname -r)"
echo '| work | motion-agent copy, s | rsync, s | ratio | ratios |'
echo '|---|---|---|---|---|'
compare "$files small files, first" peer "$small" first
compare "the same, unchanged, target checked" peer "$small" nothing
compare "the same, 1 % changed" peer "$small" some_files
compare "$big MiB file, first" peer "$top/data" first
compare "the same, 1 % of its pages, rsync" peer "$top/data" some_pages
compare "the same, 1 % of its pages, rsync --inplace" peer_inplace "$top/data" some_pages
