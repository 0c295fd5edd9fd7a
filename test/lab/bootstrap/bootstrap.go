// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package bootstrap puts into a fresh cluster what it needs beyond the components: cluster DNS, StorageClasses, the
// users' namespaces and rights; and it knows when a cluster is ready to be used.
package bootstrap

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kubectl-motion/kubectl-motion/test/lab/csi"
	"github.com/kubectl-motion/kubectl-motion/test/lab/provision"
	"github.com/kubectl-motion/kubectl-motion/test/lab/topology"
)

//go:embed cluster.yaml
var objects string

// SnapshotAPI is the file with the snapshots' CustomResourceDefinitions among the lab's programs.
const SnapshotAPI = "snapshot-crds.yaml"

// CoreDNSImage is the image of the cluster's DNS.
const CoreDNSImage = "lab/coredns:1.15.0"

// AdminGroup is the group in the certificates of the administrators' contexts.
const AdminGroup = "motion-lab:admins"

// Namespaces are the users' namespaces; each has a user of the same name.
func Namespaces() []string { return []string{"blue", "red"} }

const pollEvery = 200 * time.Millisecond

// Cluster bootstraps one cluster.
type Cluster struct {
	topology *topology.Cluster
	config   *rest.Config
	client   *kubernetes.Clientset
}

// Connect prepares to talk to a cluster with the rights of a kubeconfig. It sends nothing yet.
func Connect(c *topology.Cluster, kubeconfig string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 100, 200
	config.Timeout = 10 * time.Second
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{topology: c, config: config, client: client}, nil
}

// Prepare waits for the API server and applies the cluster's objects.
func (c *Cluster) Prepare(ctx context.Context) error {
	if err := c.wait(ctx, "the API server to answer", c.apiReady); err != nil {
		return err
	}
	// A fresh API server is ready before its built-in roles and namespaces are all there.
	return c.wait(ctx, "the first objects to be taken", c.apply)
}

// Wait returns when every node is ready and dns says that cluster DNS answers. started tells since when a node's kubelet
// runs: what the API server still says of its predecessor does not count.
func (c *Cluster) Wait(ctx context.Context, started func(node string) (time.Time, error), dns func() error) error {
	if err := c.wait(ctx, "all nodes to be ready", func(ctx context.Context) error {
		return c.nodesReady(ctx, started)
	}); err != nil {
		return err
	}
	return c.wait(ctx, "cluster DNS to answer on every node", func(context.Context) error { return dns() })
}

func (c *Cluster) wait(ctx context.Context, what string, ready func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		if err := ready(ctx); ctx.Err() == nil {
			last = err
			return err == nil, nil
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("%s: waited for %s: %w", c.topology.Name, what, errors.Join(last, err))
	}
	return nil
}

func (c *Cluster) apiReady(ctx context.Context) error {
	return c.client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func (c *Cluster) nodesReady(ctx context.Context, started func(node string) (time.Time, error)) error {
	for _, n := range c.topology.Nodes {
		since, err := started(n.Name())
		if err != nil {
			return err
		}
		if err := c.nodeReady(ctx, n.Name(), since); err != nil {
			return fmt.Errorf("%s: %w", n.Ref(), err)
		}
	}
	return nil
}

func (c *Cluster) nodeReady(ctx context.Context, name string, since time.Time) error {
	lease, err := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(since) {
		return errors.New("its kubelet has not reported yet")
	}
	node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		} else if condition.Type == corev1.NodeReady {
			return fmt.Errorf("not ready: %s", condition.Message)
		}
	}
	return errors.New("not ready")
}

// apply sends every object of cluster.yaml by server-side apply.
func (c *Cluster) apply(ctx context.Context) error {
	documents, err := c.snapshotAPI()
	if err != nil {
		return err
	}
	rendered, err := c.render()
	if err != nil {
		return err
	}
	documents = append(documents, rendered...)
	client, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
	for _, o := range documents {
		gvk := o.GroupVersionKind()
		mapping, err := mapper.RESTMapping(schema.GroupKind{Group: gvk.Group, Kind: gvk.Kind}, gvk.Version)
		if err != nil {
			return err
		}
		var target dynamic.ResourceInterface = client.Resource(mapping.Resource)
		if o.GetNamespace() != "" {
			target = client.Resource(mapping.Resource).Namespace(o.GetNamespace())
		}
		options := metav1.ApplyOptions{FieldManager: "motion-lab", Force: true}
		if _, err := target.Apply(ctx, o.GetName(), o, options); err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if o.GetKind() == "CustomResourceDefinition" {
			mapper.Reset()
		}
	}
	return nil
}

func (c *Cluster) render() ([]*unstructured.Unstructured, error) {
	parsed, err := template.New("cluster.yaml").Parse(objects)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = parsed.Execute(&text, map[string]any{
		"Namespaces": Namespaces(), "AdminGroup": AdminGroup,
		"Provisioner": provision.Name, "CSI": csi.Driver, "CoreDNSImage": CoreDNSImage, "DNS": c.topology.DNS(),
	})
	if err != nil {
		return nil, err
	}
	return decode(&text)
}

// snapshotAPI are the CustomResourceDefinitions of external-snapshotter, which build.sh takes from its module.
func (c *Cluster) snapshotAPI() ([]*unstructured.Unstructured, error) {
	file, err := os.Open(filepath.Join(c.topology.Lab().Bin(), SnapshotAPI))
	if err != nil {
		return nil, fmt.Errorf("%w; run: test/lab/build.sh", err)
	}
	defer file.Close()
	return decode(file)
}

func decode(text io.Reader) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(text, 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}
