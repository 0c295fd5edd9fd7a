#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz target of the repository for the time given, one after the
# other; a failing input lands in its package's testdata, to be kept as a case.
#
#   test/fuzz.sh [TIME]     (as go test -fuzztime; 20s)
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-20s}

found=0 broken=()
while IFS=: read -r file target; do
  found=$((found + 1))
  folder=$(dirname "$file")
  printf 'fuzz %s in %s for %s\n' "$target" "$folder" "$time"
  (cd "$folder" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" .) </dev/null || broken+=("$folder $target")
done < <(git ls-files --cached --others --exclude-standard -- '*_test.go' | grep -v /testdata/ |
  xargs -r grep -HoE '^func Fuzz[A-Za-z0-9_]+' | sed 's/:func /:/' | sort)

if [ "$found" -eq 0 ]; then
  echo 'fuzz: there is no fuzz target: a check that checks nothing fails' >&2
  exit 1
fi
printf 'fuzz: %d targets, %d broken\n' "$found" "${#broken[@]}"
printf 'fuzz: broken: %s\n' "${broken[@]}" | grep -v ': $' >&2 || true
[ "${#broken[@]}" -eq 0 ]
