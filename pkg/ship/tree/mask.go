// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"fmt"
	"strings"
)

// Mask is what is left out of the entries on purpose because the target cannot
// hold it or because it was not requested. It is part of the digest, so that trees
// described under different masks are never taken for equal.
type Mask uint32

const (
	// MaskSELinux leaves out security.selinux.
	MaskSELinux Mask = 1 << iota
	// MaskUser leaves out user.* attributes.
	MaskUser
	// MaskTrusted leaves out trusted.* attributes.
	MaskTrusted
	// MaskACL leaves out POSIX ACLs, default ones too.
	MaskACL
	// MaskCapability leaves out file capabilities.
	MaskCapability
	// MaskFlags leaves out inode flags.
	MaskFlags

	// AllMasks are those that this version knows.
	AllMasks = MaskSELinux | MaskUser | MaskTrusted | MaskACL | MaskCapability | MaskFlags
)

// maskNames are the names of a mask's parts in flags and messages.
var maskNames = []struct {
	part Mask
	name string
}{
	{MaskSELinux, "selinux"}, {MaskUser, "xattr.user"}, {MaskTrusted, "xattr.trusted"}, {MaskACL, "acl"}, {MaskCapability, "capability"}, {MaskFlags, "flags"},
}

// MaskNames returns the names that ParseMask accepts.
func MaskNames() (names []string) {
	for _, m := range maskNames {
		names = append(names, m.name)
	}
	return names
}

// ParseMask parses the names of a mask's parts.
func ParseMask(names []string) (mask Mask, err error) {
next:
	for _, name := range names {
		for _, m := range maskNames {
			if m.name == name {
				mask |= m.part
				continue next
			}
		}
		return 0, fmt.Errorf("invalid name %q of what is left out: must be one of %s", name, strings.Join(MaskNames(), ", "))
	}
	return mask, nil
}

// String returns the names of the mask's parts.
func (m Mask) String() string {
	var names []string
	for _, n := range maskNames {
		if m&n.part != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// MaskOf returns the mask that leaves out an attribute, or 0 when none does.
func MaskOf(attribute string) Mask {
	for _, m := range maskNames {
		if KeepXattr(attribute, 0) && !KeepXattr(attribute, m.part) {
			return m.part
		}
	}
	return 0
}
