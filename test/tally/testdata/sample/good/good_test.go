// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package good

import "testing"

func TestPasses(t *testing.T) {
	t.Log("a passing test's talk stays held")
	t.Run("so does its child", func(*testing.T) {})
}

func TestSkips(t *testing.T) { t.Skip("to be counted as neither") }
