// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// contender is one way to make dst a copy of src.
type contender struct {
	name string
	// args gives the command line. at is a place of the contender's own for state.
	args func(w *world, src, dst, at string) []string
	// lossy: it does not keep everything, and the oracle would say so.
	lossy bool
	// near: it has no other end to reach, and is shown, but is not the reference of a ratio.
	near bool
}

func copyWith(flags ...string) func(*world, string, string, string) []string {
	return func(w *world, src, dst, at string) []string {
		args := []string{w.agent, "copy", "--json", "--state", at}
		if w.far != nil {
			args = append(args, "--listen", w.far.listen, "--dial", w.far.dial)
		}
		return append(append(args, flags...), src, dst)
	}
}

func ours(flags ...string) contender {
	return contender{name: "motion-agent copy", args: copyWith(flags...)}
}

// forgetful is ours after both ends have lost their state.
func forgetful() contender {
	return contender{name: "motion-agent copy", args: func(w *world, src, dst, at string) []string {
		_ = os.RemoveAll(at)
		return copyWith()(w, src, dst, at)
	}}
}

func rsync(name string, flags ...string) contender {
	return contender{name: name, args: func(w *world, src, dst, _ string) []string {
		args := append([]string{"rsync", "-e", w.ssh(), "--numeric-ids", "--delete", "--exclude=/lost+found"}, flags...)
		return append(args, src+"/", "root@127.0.0.1:"+dst+"/")
	}}
}

// lossy is a contender in a row where it does not keep everything.
func lossy(c contender) contender {
	c.lossy = true
	return c
}

func rsyncBest() contender { return rsync("rsync over ssh", "-aHAXS") }
func rsyncInplace() contender {
	return rsync("rsync --inplace", "-aHAX", "--inplace", "--no-whole-file")
}

// rsyncFuzzy looks for the old content of a new name beside it.
func rsyncFuzzy() contender {
	return rsync("rsync --fuzzy", "-aHAXS", "--fuzzy", "--delete-after")
}

func rsyncLZ4() contender {
	return rsync("rsync lz4", "-aHAXS", "--compress", "--compress-choice=lz4")
}

// rsyncLocal has neither network nor encryption to pay for.
func rsyncLocal() contender {
	return contender{name: "rsync, local", near: true, args: func(_ *world, src, dst, _ string) []string {
		return []string{"rsync", "-aHAXS", "--numeric-ids", "--delete", "--exclude=/lost+found", src + "/", dst + "/"}
	}}
}

// pvMigrate has the flags that pv-migrate gives rsync: it drops hardlinks, ACLs, attributes.
func pvMigrate() contender {
	return contender{name: "pv-migrate's rsync", lossy: true, args: func(w *world, src, dst, _ string) []string {
		return []string{"rsync", "-av", "--info=progress2,misc0,flist0", "--no-inc-recursive", "-e", w.ssh(), "-z", "--delete", src + "/", "root@127.0.0.1:" + dst + "/"}
	}}
}

// volSync has the flags of VolSync's rsync job, which copies and then walks again to delete.
func volSync() contender {
	return contender{name: "VolSync's rsync", lossy: true, args: func(w *world, src, dst, _ string) []string {
		script := `rsync -aAhHSxz -r --exclude=lost+found --itemize-changes --info=stats2,misc2 -e "$0" "$1/" "root@127.0.0.1:$2/" &&
			rsync -rx --exclude=lost+found --ignore-existing --ignore-non-existing --delete --itemize-changes --info=stats2,misc2 -e "$0" "$1/" "root@127.0.0.1:$2/"`
		return []string{"sh", "-c", script, w.ssh(), src, dst}
	}}
}

func cpA() contender {
	return contender{name: "cp -a", args: func(_ *world, src, dst, _ string) []string {
		return []string{"cp", "-a", "--sparse=auto", src + "/.", dst}
	}}
}

func tarSSH() contender {
	return contender{name: "tar, lz4, ssh", args: func(w *world, src, dst, _ string) []string {
		script := fmt.Sprintf(`set -o pipefail; tar -C "$1" --xattrs --acls -S --exclude=./lost+found -cf - . | lz4 -1 -q | %s root@127.0.0.1 "lz4 -d -q | tar -C '$2' --xattrs --acls -S -xpf -"`, w.ssh())
		return []string{"bash", "-c", script, "tar", src, dst}
	}}
}

// restic backs up into a repository on the target's side and restores from it: what VolSync
// and Velero do end to end.
func restic() contender {
	return contender{name: "restic backup, restore", lossy: true, args: func(_ *world, src, dst, at string) []string {
		script := `export RESTIC_PASSWORD=x RESTIC_REPOSITORY="$3/repo" RESTIC_CACHE_DIR="$3/cache"
			[ -d "$3/repo" ] || restic init -q || exit 1
			cd "$1" && restic backup -q --exclude=lost+found . && restic restore -q latest --target "$2"`
		return []string{"sh", "-c", script, "restic", src, dst, filepath.Clean(at)}
	}}
}

// blockCopy is what there is for a device among peers that only know files.
func blockCopy() contender {
	return contender{name: "dd over ssh", args: func(w *world, src, dst, _ string) []string {
		script := fmt.Sprintf(`set -o pipefail; dd if="$1" bs=1M iflag=direct status=none | lz4 -1 -q | %s root@127.0.0.1 "lz4 -d -q | dd of='$2/image' bs=1M conv=notrunc,fsync status=none"`, w.ssh())
		return []string{"bash", "-c", script, "dd", src, dst}
	}}
}

func (w *world) bare(args ...string) []string { return append([]string{w.self, "bare"}, args...) }
