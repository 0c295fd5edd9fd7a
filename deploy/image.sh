#!/usr/bin/env bash
# SPDX-FileCopyrightText: The kubectl-motion authors
# SPDX-License-Identifier: Apache-2.0
#
# Builds the agent's image into dist/motion-agent-image.tar, without a container
# engine: two static programs, the agent and the plugin, and nothing else.
#
#   VERSION   what the programs call themselves and the image's tag (default: of git, or v0.0.0-dev)
#   ARCH      the nodes' architecture (default: this machine's)
#   IMAGE     the image's name without its tag
set -euo pipefail
cd "$(dirname "$0")/.."

module=github.com/kubectl-motion/kubectl-motion
version=${VERSION:-$(git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.0.0-dev)}
commit=${COMMIT:-$(git describe --always --match '' --dirty --abbrev=12 2>/dev/null || true)}
arch=${ARCH:-$(go env GOARCH)}
image=${IMAGE:-ghcr.io/kubectl-motion/motion-agent}
out=${OUT:-dist/motion-agent-image.tar}
stage=bin/image/linux-$arch

mkdir -p "$stage" "$(dirname "$out")"
for program in motion-agent kubectl-motion; do
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false ${GOBUILDFLAGS:-} \
		-ldflags "-s -w -X $module/pkg/version.stampedVersion=$version -X $module/pkg/version.stampedCommit=$commit" \
		-o "$stage/$program" "./cmd/$program"
done

# A tag has no room for the + of a version's build metadata.
root=$PWD
go run -C deploy/image ./cmd/build-image \
	--name "$image:${version//+/-}" --platform "linux/$arch" \
	--binary "$root/$stage/motion-agent=/motion-agent" --binary "$root/$stage/kubectl-motion=/kubectl-motion" \
	--entrypoint /motion-agent --output "$root/$out"
echo "$out: $image:${version//+/-}"
