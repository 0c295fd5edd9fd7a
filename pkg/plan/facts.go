// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"context"
	"fmt"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// Facts are what the target offers, as far as the user may see it.
type Facts struct {
	ClusterID string
	Namespace string
	// NamespaceMissing is true when the namespace is known not to be there.
	NamespaceMissing bool
	// Classes of the target; ClassesKnown is false when they may not be listed.
	Classes      []Class
	ClassesKnown bool
	// SourceClasses tell what a class that is missing on the target was.
	SourceClasses []Class
}

// Class is a StorageClass.
type Class struct {
	Name        string
	Provisioner string
	Default     bool
	// Waits is true when the volume is made for the first pod that uses it.
	Waits     bool
	Expansion bool
}

// ObserveFacts reads what the target offers. What the user may not read is
// left unknown.
func ObserveFacts(ctx context.Context, src, dst *cluster.Cluster, namespace string) (Facts, error) {
	f := Facts{ClusterID: dst.ID, Namespace: namespace}
	_, err := dst.Kube.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.NamespaceMissing = true
	case err != nil && !apierrors.IsForbidden(err):
		return f, fmt.Errorf("cluster %s: reading namespace %s: %w", dst.Name, namespace, err)
	}
	if f.Classes, f.ClassesKnown, err = classes(ctx, dst); err != nil {
		return f, err
	}
	f.SourceClasses, _, err = classes(ctx, src)
	return f, err
}

func classes(ctx context.Context, c *cluster.Cluster) ([]Class, bool, error) {
	list, err := c.Kube.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("cluster %s: listing storage classes: %w", c.Name, err)
	}
	out := make([]Class, 0, len(list.Items))
	for _, s := range list.Items {
		out = append(out, Class{
			Name: s.Name, Provisioner: s.Provisioner,
			Default:   s.Annotations["storageclass.kubernetes.io/is-default-class"] == "true",
			Waits:     s.VolumeBindingMode != nil && *s.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer,
			Expansion: s.AllowVolumeExpansion != nil && *s.AllowVolumeExpansion,
		})
	}
	return out, true, nil
}

func findClass(list []Class, name string) (Class, bool) {
	i := slices.IndexFunc(list, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return Class{}, false
	}
	return list[i], true
}

// resolveClass finds the target's class for a class of the source: what the
// user said, the same name, the only class of the same driver, the default.
// guessed is true for the last two; ok is false when there is none.
func (f Facts) resolveClass(name string, said map[string]string) (class string, guessed, ok bool) {
	if to, found := said[name]; found {
		_, there := findClass(f.Classes, to)
		return to, false, there || !f.ClassesKnown
	}
	if !f.ClassesKnown {
		return name, false, true
	}
	if _, found := findClass(f.Classes, name); found && name != "" {
		return name, false, true
	}
	if c, found := f.byAbility(name); found {
		return c.Name, true, true
	}
	return "", false, false
}

// byAbility prefers a class of the same driver, then the default class; among
// several, one that waits for its first consumer like the source's.
func (f Facts) byAbility(name string) (Class, bool) {
	was, known := findClass(f.SourceClasses, name)
	score := func(c Class) int {
		n := 0
		if known && c.Provisioner == was.Provisioner {
			n += 8
		}
		if c.Default {
			n += 4
		}
		if known && n > 0 && c.Waits == was.Waits {
			n += 2
		}
		if known && n > 0 && c.Expansion == was.Expansion {
			n++
		}
		return n
	}
	best, top := Class{}, 0
	for _, c := range f.Classes {
		if s := score(c); s > top {
			best, top = c, s
		}
	}
	return best, top > 0
}
