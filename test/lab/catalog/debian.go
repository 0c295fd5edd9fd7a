// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	_ "embed"
	"path/filepath"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/deploy/image"
)

// postgresUser is the user id of PostgreSQL in its image.
const postgresUser = 999

//go:embed postgres.sh
var postgresEntrypoint []byte

// postgres is PostgreSQL 15 with its tools and extensions, as a user who is not root, in a data folder made at the
// first start. Its environment variables are those of the image that most people use.
func (c Catalog) postgres() recipe {
	const bin, data = "/usr/lib/postgresql/15/bin/", "/var/lib/postgresql"
	owned := func(path string, mode int64) image.File {
		return image.File{Path: path, Dir: true, Mode: mode, UID: postgresUser, GID: postgresUser}
	}
	files := append(base(), busybox()...)
	files = append(files, image.File{Path: "/entrypoint.sh", Content: postgresEntrypoint, Mode: 0o755},
		owned(data, 0o755), owned(data+"/data", 0o700), owned("/var/run/postgresql", 0o2775))
	return recipe{
		packages: &image.Packages{
			Cache: filepath.Join(c.Cache, "packages"),
			Names: []string{"postgresql-15", "postgresql-client-15", "busybox", "tzdata", "libc-bin"},
			Include: []string{
				bin, "/usr/lib/postgresql/15/lib/", "/usr/share/postgresql/15/", "/usr/share/zoneinfo/",
				"/usr/lib/locale/", "/bin/busybox",
			},
			// Compiling queries with LLVM would make the image five times as large.
			Exclude: []string{"/llvmjit", "/bitcode/", "/man/", "/zoneinfo/right/", "/zoneinfo/posix/"},
		},
		Image: image.Image{
			Name: "lab/postgres:15", Platform: platform(), User: "999:999", WorkingDir: data,
			Entrypoint: []string{"/entrypoint.sh"}, Command: []string{"postgres"},
			Env: []string{
				"PATH=" + strings.TrimSuffix(bin, "/") + ":/usr/bin:/bin", "LANG=C.UTF-8",
				"PGDATA=" + data + "/data", "HOME=" + data,
			},
			Files: files,
		},
	}
}

// tools is a shell with what tests of volumes need: GNU's programs where nanoseconds, holes or extended attributes
// matter, busybox for the rest.
func (c Catalog) tools() recipe {
	return recipe{
		packages: &image.Packages{
			Cache: filepath.Join(c.Cache, "packages"),
			Names: []string{
				"busybox", "bash", "coreutils", "findutils", "attr", "acl", "rsync", "util-linux",
				"e2fsprogs", "xfsprogs", "curl", "libc-bin",
			},
			Include: []string{
				"/bin/busybox", "/bin/bash", "/bin/cp", "/bin/dd", "/bin/ls", "/bin/touch",
				"/bin/sync", "/usr/bin/stat", "/usr/bin/truncate", "/usr/bin/sha256sum", "/usr/bin/md5sum",
				"/usr/bin/find", "/usr/bin/getfattr", "/usr/bin/setfattr", "/bin/getfacl", "/bin/setfacl",
				"/usr/bin/rsync", "/usr/bin/fallocate", "/usr/bin/chattr", "/usr/bin/lsattr", "/usr/sbin/xfs_io", "/usr/bin/curl",
				"/usr/lib/locale/",
			},
		},
		Image: image.Image{
			Name: "lab/tools:1", Platform: platform(), User: "65532:65532", WorkingDir: "/tmp",
			Command: []string{"/bin/bash"},
			Env:     []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/tmp"},
			Files:   append(base(), busybox()...),
		},
	}
}

// base is what every image with more than one program needs: users by name, and a place for temporary files.
func base() []image.File {
	return []image.File{
		{Path: "/etc/passwd", Content: []byte("root:x:0:0:root:/root:/bin/sh\n" +
			"postgres:x:999:999:PostgreSQL:/var/lib/postgresql:/bin/sh\n" +
			"nonroot:x:65532:65532:nonroot:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")},
		{Path: "/etc/group", Content: []byte("root:x:0:\npostgres:x:999:\nnonroot:x:65532:\nnogroup:x:65534:\n")},
		{Path: "/etc/nsswitch.conf", Content: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
		{Path: "/tmp", Dir: true, Mode: 0o1777},
	}
}

// busybox links the names of its commands to the one program.
func busybox() []image.File {
	const commands = "sh ash awk basename cat chgrp chmod chown clear cmp cp cut date dd df diff dirname du echo env " +
		"expr false find free grep gzip gunzip head hostname httpd id install ip kill less ln ls md5sum mkdir mkfifo " +
		"mknod mktemp more mount mv nc netstat nl nslookup od paste ping printf ps pwd readlink realpath rm rmdir sed " +
		"seq sha256sum sleep sort split stat stty sync tail tar tee telnet test timeout top touch tr true truncate tty " +
		"umount uname uniq vi watch wc wget which whoami xargs xxd yes zcat"
	var files []image.File
	for command := range strings.FieldsSeq(commands) {
		files = append(files, image.File{Path: "/bin/" + command, Link: "/bin/busybox"})
	}
	return files
}
