// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package broken

import "testing"

func TestNeverBuilds(*testing.T) { undefined() }
