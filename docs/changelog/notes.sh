#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Prints the release notes of a version from its fragments, or from those in
# unreleased/ when it has no directory yet.
#
#   notes.sh VERSION
set -euo pipefail
cd "$(dirname "$0")"

version=${1:?usage: notes.sh VERSION}
folder=$version
[ -d "$folder" ] || folder=unreleased

printf '# %s\n' "$version"
for kind in Security Breaking Added Change Fixed; do
  fragments=$(grep -l "^$kind: " "$folder"/*.md 2>/dev/null || true)
  [ -n "$fragments" ] || continue
  printf '\n## %s\n\n' "$kind"
  while read -r fragment; do
    sed -e "1s/^$kind: /- /" -e '2,$s/^\(.\)/  \1/' "$fragment"
  done <<<"$fragments"
done
