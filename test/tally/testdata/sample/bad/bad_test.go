// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package bad

import "testing"

func TestPasses(*testing.T) {}

func TestFails(t *testing.T) { t.Error("a failing test's talk is shown") }
