#!/bin/sh
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the lab: bin/motion-lab, and beside it in bin/lab what runs inside. Each part is a module of its own, so that
# the plugin's dependencies, containerd's and Kubernetes' never have to agree on a version. What is up to date costs
# only Go's own check.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$here/../../bin
mkdir -p "$bin/lab"
bin=$(cd "$bin" && pwd)
export CGO_ENABLED=0 GOWORK=off

say() { echo "building $*" >&2; }

# One multi-call binary per Kubernetes minor: test/lab/k8sNNN becomes bin/lab/kubernetes-N.NN. The version is the one
# that the module's own go.mod names; without it nodes would report v0.0.0-master.
kubernetes() {
	version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$1/go.mod")
	minor=$(echo "$version" | cut -d. -f2)
	say "Kubernetes $version (about five minutes on two cores with an empty cache)"
	go build -C "$1" -trimpath -o "$bin/lab/kubernetes-1.$minor" -ldflags "-s -w \
-X k8s.io/component-base/version.gitVersion=$version \
-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor" .
}

containerd() {
	version=$(awk '$1 == "github.com/containerd/containerd/v2" { print $2; exit }' "$here/tools/go.mod")
	say "containerd $version"
	for tool in containerd containerd-shim-runc-v2 ctr; do
		go build -C "$here/tools" -trimpath -o "$bin/lab/$tool" -ldflags "-s -w \
-X github.com/containerd/containerd/v2/version.Version=$version" "github.com/containerd/containerd/v2/cmd/$tool"
	done
}

# external-snapshotter's controller and sidecar, and the API that they serve.
snapshotter() {
	say "external-snapshotter $(awk '$1 == "github.com/kubernetes-csi/external-snapshotter/v8" { print $2; exit }' "$here/snapshotter/go.mod")"
	for tool in csi-snapshotter snapshot-controller; do
		go build -C "$here/snapshotter" -trimpath -ldflags '-s -w' -o "$bin/lab/$tool" \
			"github.com/kubernetes-csi/external-snapshotter/v8/cmd/$tool"
	done
	crds=$(cd "$here/snapshotter" && go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
	for crd in volumesnapshotclasses volumesnapshotcontents volumesnapshots; do
		echo ---
		cat "$crds/snapshot.storage.k8s.io_$crd.yaml"
	done >"$bin/lab/snapshot-crds.yaml"
}

say motion-lab
go build -C "$here" -trimpath -o "$bin/motion-lab" .
go build -C "$here" -trimpath -ldflags '-s -w' -o "$bin/lab/" ./cmd/...
say "the image builder"
go build -C "$here/../../deploy/image" -trimpath -o "$bin/" ./cmd/build-image
containerd
say CoreDNS
go build -C "$here/coredns" -trimpath -ldflags '-s -w' -o "$bin/lab/coredns" .
snapshotter
for module in "$here"/k8s*/; do
	kubernetes "${module%/}"
done
# kubectl of the newest minor, for those who have none.
ln -sf "$(cd "$bin/lab" && ls kubernetes-* | sort -V | tail -n 1)" "$bin/lab/kubectl"
