// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package route

import "fmt"

// Mode is which routes the data of volumes may take.
type Mode string

const (
	// Auto is direct, and by the relay when that turns out to be impossible.
	Auto Mode = "auto"
	// Direct lets the source's agents dial the target's.
	Direct Mode = "direct"
	// Relay goes through the API servers from the beginning.
	Relay Mode = "relay"
)

// Modes in words, for a flag's help.
const Modes = "auto, direct or relay"

// ParseMode reads a flag's value.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Auto, Direct, Relay:
		return m, nil
	}
	return "", fmt.Errorf("invalid route %q: must be %s", s, Modes)
}
