// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fabric

import "testing"

func TestLinesPairsEachFormatWithItsArguments(t *testing.T) {
	got := lines("link set lo up", "addr add %s/%d dev %s", "10.0.0.1", 24, "eth0", "link set %s up", "eth0")
	want := "link set lo up\naddr add 10.0.0.1/24 dev eth0\nlink set eth0 up\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
