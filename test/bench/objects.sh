#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Times 2,000 objects against kubectl on the lab, then moves 20,000 with the plugin
# and weighs it:
#
#   test/bench/objects.sh [REGEXP]     (make bench-objects, and at the end of make bench)
#
# BENCH=quick leaves the 20,000 out. It uses the lab that is up, or brings one up
# and takes it down again. The tests are TestTwoThousandObjectsBesideKubectl and
# TestTwentyThousandObjectsWorkWithin300MiB of test/e2e/objects; what they measure
# is said there.
set -euo pipefail
cd "$(dirname "$0")/../.."
tests='TwoThousandObjects|TwentyThousandObjects'
[ "${BENCH:-}" != quick ] || tests=TwoThousandObjects
exec test/with-lab.sh go test -tags "e2e bench" -count=1 -timeout 45m -v -run "${1:-$tests}" ./test/e2e/objects
