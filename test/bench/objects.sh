#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0

# Times objects against kubectl on the lab, and weighs a plan of twenty thousand:
#
#   test/bench/objects.sh [REGEXP]     (make bench-objects)
#
# It uses the lab that is up, or brings one up and takes it down again. The tests
# are TestTwoThousandObjectsBesideKubectl and TestTwentyThousandObjectsWorkWithin300MiB
# of test/e2e/objects; what they measure is said there.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec test/with-lab.sh go test -tags "e2e bench" -count=1 -timeout 45m -v -run "${1:-TwoThousandObjects|TwentyThousandObjects}" ./test/e2e/objects
