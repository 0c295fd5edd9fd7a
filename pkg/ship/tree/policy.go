// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package tree

import "strings"

// Names of attributes with rules of their own.
const (
	XattrSELinux    = "security.selinux"
	XattrCapability = "security.capability"
	XattrACL        = "system.posix_acl_access"
	XattrDefaultACL = "system.posix_acl_default"
)

// KeepXattr reports whether an attribute belongs to the tree's description. Left out are
// what a node's own kernel recreates (IMA and EVM signatures of another machine), a
// filesystem's controls in the form of attributes (btrfs.*), and security.selinux, which
// the target's own policy sets, unless the mask keeps it.
func KeepXattr(name string, mask Mask) bool {
	switch {
	case name == XattrSELinux:
		return mask&MaskSELinux == 0
	case name == "security.ima" || name == "security.evm" || strings.HasPrefix(name, "btrfs."):
		return false
	case name == XattrACL || name == XattrDefaultACL:
		return mask&MaskACL == 0
	case name == XattrCapability:
		return mask&MaskCapability == 0
	case strings.HasPrefix(name, "user."):
		return mask&MaskUser == 0
	case strings.HasPrefix(name, "trusted."):
		return mask&MaskTrusted == 0
	case strings.HasPrefix(name, "system."):
		return false
	default:
		return true
	}
}

const (
	modeSetuid = 0o4000
)

// Special returns what makes e one of the entries that the policy Refuse excludes, or "".
func Special(e *Entry) string {
	switch e.Kind {
	case CharDevice, BlockDevice:
		return "a device node"
	case File:
		if e.UID == 0 && e.Mode&modeSetuid != 0 {
			return "a setuid-root file"
		}
	}
	for _, x := range e.Xattrs {
		if x.Name == XattrCapability {
			return "a file with capabilities"
		}
		if strings.HasPrefix(x.Name, "trusted.") {
			return "an entry with a trusted.* attribute"
		}
	}
	return ""
}
