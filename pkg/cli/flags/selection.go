// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package flags holds the flags that say what moves and how it is changed on the
// way. They are the same for a plan and for the migration that runs it.
package flags

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/hooks"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
	"github.com/kubectl-motion/kubectl-motion/pkg/plan"
	"github.com/kubectl-motion/kubectl-motion/pkg/route"
	"github.com/kubectl-motion/kubectl-motion/pkg/snapshot"
	"github.com/kubectl-motion/kubectl-motion/pkg/transform"
)

// TargetFlags are what was typed.
type SelectionFlags struct {
	selector  string
	include   []string
	exclude   []string
	classes   map[string]string
	images    map[string]string
	patches   []string
	balancers string
	before    []string
	after     []string
	force     bool
	prune     bool
	pruneData bool
	method    string
	snapshots string
	route     string
	plugins   []snapshot.Plugin
}

// NewSelectionFlags returns the flags that select and transform objects; plugins are the volume plugins.
func NewSelectionFlags(plugins []snapshot.Plugin) SelectionFlags {
	return SelectionFlags{plugins: plugins}
}

// Add registers the flags.
func (f *SelectionFlags) Add(fs *pflag.FlagSet) {
	fs.StringVarP(&f.selector, "selector", "l", "", "Label selector; dependencies of the selected objects are included")
	fs.StringSliceVar(&f.include, "include", nil, "Migrate only these, as TYPE or TYPE/NAME; their dependencies are included")
	fs.StringSliceVar(&f.exclude, "exclude", nil, "Do not migrate these, as TYPE or TYPE/NAME")
	fs.StringToStringVar(&f.classes, "storage-class", nil, "Storage class on the target for a class on the source, such as fast=premium")
	fs.StringToStringVar(&f.images, "image", nil, "Image prefix on the target for a prefix on the source, such as registry.old/team=registry.new/team")
	fs.StringArrayVar(&f.patches, "patch", nil, "File with JSON or strategic merge patches for objects by kind, name or label")
	fs.StringVar(&f.balancers, "load-balancers", string(transform.LoadBalancersClusterIP), "Type of LoadBalancer Services on the target: clusterip or keep")
	fs.StringArrayVar(&f.before, "pre-snapshot-hook", nil,
		"Command to run in pods before their volumes are snapshotted, as SELECTOR:CONTAINER:COMMAND; instead of the pods' own annotations")
	fs.StringArrayVar(&f.after, "post-snapshot-hook", nil, "Command to run in pods after the snapshot, also after a failure")
	fs.BoolVar(&f.prune, "prune", false, "Delete objects on the target that an earlier migration created and the source no longer has")
	fs.BoolVar(&f.pruneData, "prune-volumes", false, "With --prune: also delete PVCs and their data")
	fs.StringVar(&f.method, "copy-method", string(snapshot.Auto), "How to read volumes while the application runs: snapshot, live, or auto (a snapshot if the storage supports it)")
	fs.StringVar(&f.snapshots, "snapshot-class", "", "VolumeSnapshotClass to use (default: a class of the volume's driver)")
	fs.StringVar(&f.route, "route", string(route.Auto), "Network route of the data: "+route.Modes+" (through the API servers and this machine)")
	fs.BoolVar(&f.force, "force-conflicts", false, "Take over fields of target objects that other managers own")
}

// Request is the part of a plan's request that the flags decide. Errors are
// about what was typed.
func (f *SelectionFlags) Request() (plan.Request, error) {
	r := plan.Request{
		StorageClasses: f.classes, Images: f.images, ForceConflicts: f.force,
		LoadBalancers: transform.LoadBalancers(f.balancers), Prune: f.prune, PruneVolumes: f.pruneData,
	}
	r.CopyMethods = snapshot.Chooser{Plugins: f.plugins, Preference: snapshot.Preference{Mode: snapshot.Mode(f.method), Class: f.snapshots}}
	if err := r.CopyMethods.Preference.Check(); err != nil {
		return r, &exit.UsageError{Err: err}
	}
	var err error
	if r.Route, err = route.ParseMode(f.route); err != nil {
		return r, usagef("--route: %w", err)
	}
	if f.pruneData && !f.prune {
		return r, usagef("--prune-volumes goes with --prune")
	}
	if r.LoadBalancers != transform.LoadBalancersClusterIP && r.LoadBalancers != transform.LoadBalancersKeep {
		return r, usagef("--load-balancers must be clusterip or keep, not %q", f.balancers)
	}
	if r.Selection, err = f.selection(); err != nil {
		return r, err
	}
	if r.Hooks, err = f.hooks(); err != nil {
		return r, err
	}
	for _, file := range f.patches {
		text, err := os.ReadFile(file)
		if err != nil {
			return r, usagef("--patch: %w", err)
		}
		patches, err := transform.ParsePatches(file, text)
		if err != nil {
			return r, usagef("--patch: %w", err)
		}
		r.Patches = append(r.Patches, patches...)
	}
	return r, nil
}

func (f *SelectionFlags) hooks() ([]hooks.Rule, error) {
	var out []hooks.Rule
	for phase, texts := range map[hooks.Phase][]string{hooks.Pre: f.before, hooks.Post: f.after} {
		for _, text := range texts {
			r, err := hooks.ParseRule(phase, text)
			if err != nil {
				return nil, usagef("--%s-hook %w", phase, err)
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func (f *SelectionFlags) selection() (inventory.Selection, error) {
	var s inventory.Selection
	if f.selector != "" {
		sel, err := labels.Parse(f.selector)
		if err != nil {
			return s, usagef("--selector %q: %w", f.selector, err)
		}
		s.Labels = sel
	}
	var err error
	if s.Include, err = patterns("--include", f.include); err != nil {
		return s, err
	}
	s.Exclude, err = patterns("--exclude", f.exclude)
	return s, err
}

func patterns(flag string, texts []string) ([]inventory.Pattern, error) {
	var out []inventory.Pattern
	for _, t := range texts {
		p, err := inventory.ParsePattern(t)
		if err != nil {
			return nil, usagef("%s: %w", flag, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func usagef(format string, args ...any) error {
	return &exit.UsageError{Err: fmt.Errorf(format, args...)}
}
