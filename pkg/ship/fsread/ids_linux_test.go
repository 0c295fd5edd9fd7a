// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import "testing"

func TestRule8OwnersMustBeThoseOfTheHost(t *testing.T) {
	if err := identity("         0          0 4294967295\n"); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "0 1000 1\n", "0 100000 65536\n", "0 0 65536\n", "0 0 1000\n1000 1000 4294966295\n"} {
		if identity(text) == nil {
			t.Errorf("%q is taken for the host's mapping", text)
		}
	}
}
