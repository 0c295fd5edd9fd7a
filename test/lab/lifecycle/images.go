// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-motion/kubectl-motion/test/lab/bootstrap"
	"github.com/kubectl-motion/kubectl-motion/test/lab/catalog"
	"github.com/kubectl-motion/kubectl-motion/test/lab/component"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

// buildImages makes the lab's images and returns their archives.
func buildImages(ctx context.Context, lab *topology.Lab, say io.Writer) ([]string, error) {
	c := catalog.Catalog{Programs: lab.Bin(), Cache: filepath.Join(lab.Cache(), "images")}
	return c.Build(ctx, component.SandboxImage, bootstrap.CoreDNSImage, say)
}

// loadAll gives a node every image of the lab that it was not given yet. The notes about that are in the node's /var,
// beside the image store that they speak about.
func loadAll(ctx context.Context, lab *topology.Lab, n *topology.Node, archives []string) error {
	notes := filepath.Join(n.Var(), "lib", "motion-lab-images")
	if err := os.MkdirAll(notes, 0o755); err != nil {
		return err
	}
	for _, file := range archives {
		note := filepath.Join(notes, filepath.Base(file))
		if exists(note) {
			continue
		}
		if err := load(ctx, lab, n, file); err != nil {
			return err
		}
		if err := os.WriteFile(note, nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// load gives a node the images in an archive, once the node runs.
func load(ctx context.Context, lab *topology.Lab, n *topology.Node, file string) error {
	socket, err := containerd(ctx, lab, n)
	if err != nil {
		return fmt.Errorf("%s: load %s: %w", n.Ref(), file, err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(lab.Bin(), "ctr"), "-a", socket, "-n", "k8s.io",
		"images", "import", "--snapshotter", "overlayfs", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: load %s: %w: %s", n.Ref(), file, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// containerd waits for a node's containerd and returns its socket as the host sees it.
func containerd(ctx context.Context, lab *topology.Lab, n *topology.Node) (string, error) {
	for {
		pid, err := NodePID(lab, n)
		if err == nil {
			socket := fmt.Sprintf("/proc/%d/root%s", pid, component.ContainerdSocket)
			cmd := exec.CommandContext(ctx, filepath.Join(lab.Bin(), "ctr"), "-a", socket, "--timeout", "2s", "version")
			if err = cmd.Run(); err == nil {
				return socket, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("containerd does not answer: %w", err), ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// LoadImages gives the nodes of the named clusters, or of all, the images in the archives.
func LoadImages(ctx context.Context, lab *topology.Lab, clusters, files []string) error {
	for _, name := range clusters {
		if lab.Cluster(name) == nil {
			return fmt.Errorf("no cluster %q", name)
		}
	}
	var work sync.WaitGroup
	results := make([]error, len(lab.Nodes()))
	for i, n := range lab.Nodes() {
		if len(clusters) > 0 && !slices.Contains(clusters, n.Cluster.Name) {
			continue
		}
		work.Go(func() {
			for _, file := range files {
				results[i] = errors.Join(results[i], load(ctx, lab, n, file))
			}
		})
	}
	work.Wait()
	return errors.Join(results...)
}
