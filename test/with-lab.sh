#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Runs a command with the lab up and the images of bin/images on its nodes:
#
#   test/with-lab.sh COMMAND [ARGUMENT...]
#
# The command finds KUBECONFIG (every context of the lab), MOTION_LAB and
# MOTION (the binaries' absolute names). Afterwards the lab goes down, regardless of
# happened, unless KEEP_LAB is set or it was up before. When something failed,
# each component's last lines are printed first, and the whole logs are left in
# bin/lab-logs.
# The exit status is the command's; a lab that does not start is a failure, and
# so is one that leaves something behind.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

export MOTION_LAB=$PWD/bin/motion-lab
export MOTION=$PWD/bin/kubectl-motion
results=$PWD/bin/test-results

say() { printf 'with-lab: %s\n' "$*" >&2; }

# failed TEXT: say it and count it, since no test can.
failed() {
  say "$1"
  bin/tally -record "$results" -fail "$1"
}

show_logs() {
  rm -rf bin/lab-logs && mkdir -p bin/lab-logs
  "$MOTION_LAB" status >&2 || return
  local component file
  "$MOTION_LAB" status | awk 'NR > 1 { print $1 }' | while read -r component; do
    file=bin/lab-logs/${component//\//_}.log
    "$MOTION_LAB" logs "$component" >"$file" 2>&1
    printf '\n--- last lines of %s\n' "$component" >&2
    tail -n 25 "$file" >&2
  done
}

finish() {
  local status=$?
  trap - EXIT INT TERM
  [ "$status" -eq 0 ] || show_logs
  if [ -n "${KEEP_LAB:-}" ]; then
    say "the lab stays up; make lab-down removes it"
  elif ! "$MOTION_LAB" down; then
    failed "motion-lab down left something behind"
    [ "$status" -ne 0 ] || status=1
  fi
  exit "$status"
}

if "$MOTION_LAB" status >/dev/null 2>&1; then
  say "the lab was up before, so it will stay up"
  KEEP_LAB=1
fi
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if ! "$MOTION_LAB" up; then
  failed "motion-lab up: the lab did not start"
  exit 1
fi
KUBECONFIG=$("$MOTION_LAB" kubeconfig --path) || exit 1
export KUBECONFIG
images=(bin/images/*.tar)
if [ ! -e "${images[0]}" ]; then
  failed "bin/images holds no image: make image"
  exit 1
fi
if ! "$MOTION_LAB" load-image "${images[@]}"; then
  failed "motion-lab load-image: the nodes did not take the images"
  exit 1
fi
"$@"
