// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package fsread

import (
	"fmt"
	"os"
	"strings"
)

// CheckIDs fails unless this process sees owners as the host does. In a user namespace with
// another mapping every owner would be read and set as another ID.
func CheckIDs() error {
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the ID mapping of the user namespace: %w", err)
		}
		if err := identity(string(text)); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// identity reports whether a map is 0 0 4294967295: user_namespaces(7).
func identity(text string) error {
	if f := strings.Fields(text); len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295" {
		return nil
	}
	return fmt.Errorf("this process runs in a user namespace that maps IDs (%q); run it in the user namespace of the host", strings.Join(strings.Fields(text), " "))
}
