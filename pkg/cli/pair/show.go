// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// show prints what would change, or writes it as manifests; nothing changes.
func (o *Options) show(ctx context.Context, p *pair.Pairing) error {
	d, err := p.Plan(ctx)
	if err != nil {
		return err
	}
	if o.flags.export == "" {
		_, err := fmt.Fprint(o.flags.streams.Out, progress.Escape(d.Text()))
		return err
	}
	for _, side := range []struct {
		c    *cluster.Cluster
		name string
	}{{p.Source, "source"}, {p.Target, "target"}} {
		text, err := p.Export(d, side.c)
		if err != nil {
			return err
		}
		if o.flags.export == "-" {
			if _, err := o.flags.streams.Out.Write(text); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(o.flags.export, 0o755); err != nil {
			return err
		}
		file := filepath.Join(o.flags.export, side.name+"-"+fileName(side.c.Name)+".yaml")
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(o.flags.streams.Out, file); err != nil {
			return err
		}
	}
	return nil
}

// fileName keeps a context's name within a folder.
func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, s)
}
