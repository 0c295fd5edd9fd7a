// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package deploy carries what is installed on a cluster: the API, the agents and
// the rules about who may do what. The files beside it are plain manifests with
// the default values, which `kubectl apply -k` takes as they are; Manifests
// gives them with other values, for `kubectl motion pair` on any platform.
package deploy

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-motion/kubectl-motion/pkg/version"
)

//go:embed crds/*.yaml namespace.yaml rbac.yaml admission.yaml reaper.yaml agent.yaml relay/relay.yaml block/agent.yaml preserve/agent.yaml
var files embed.FS

const (
	// DefaultNamespace is where the agents live.
	DefaultNamespace = "kubectl-motion"
	// AgentName is the name of the agents' DaemonSet, ServiceAccount and Service.
	AgentName = "motion-agent"
	// RelayPod is the relay's one pod, RelayRole the right to forward ports to it.
	RelayPod  = "motion-relay-0"
	RelayRole = "motion-relay-user"
	// RelayName is the relay's StatefulSet, and what its pod is labelled with.
	RelayName = "motion-relay"
	// DefaultRelayGroup may forward ports to the relay unless others are named.
	DefaultRelayGroup = "system:authenticated"
	// VersionLabel on agents' pods is the version that installed them.
	VersionLabel = "app.kubernetes.io/version"
	// ReaperName is the CronJob, with its ServiceAccount, that deletes the accounts of
	// pairs that have expired.
	ReaperName = "motion-reaper"
	// RelayPort is where the relay listens on its loopback.
	RelayPort = 4748
	// DefaultRepository of the agents' image; the tag is the plugin's version.
	DefaultRepository = "ghcr.io/kubectl-motion/motion-agent"
	// DefaultKubeletRoot is where most nodes have the kubelet's folder.
	DefaultKubeletRoot = "/var/lib/kubelet"
	// DevicesContainer is the name of the agent's second container.
	DevicesContainer = "devices"
)

// Options are what differs between installations. The zero value is the default.
type Options struct {
	// Namespace of the agents.
	Namespace string
	// AgentImage in full.
	AgentImage string
	// KubeletRoot is the kubelet's --root-dir on the nodes, absolute.
	KubeletRoot string
	// Relay adds the relay, for members of RelayGroups (none: DefaultRelayGroup).
	Relay       bool
	RelayGroups []string
	// LoadBalancer asks the cluster for one in front of the agents, besides the
	// NodePort.
	LoadBalancer bool
	// Endpoints are host:port pairs at which other clusters reach the agents, known
	// to the administrator alone.
	Endpoints []string
	// BlockDevices adds the container that opens raw block volumes.
	BlockDevices bool
	// PreserveSpecialFiles adds the capabilities that specialFiles: Preserve needs.
	PreserveSpecialFiles bool
}

func (o Options) withDefaults() (Options, error) {
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.AgentImage == "" {
		o.AgentImage = DefaultRepository + ":" + version.Get().Version
	}
	if o.KubeletRoot == "" {
		o.KubeletRoot = DefaultKubeletRoot
	}
	if !path.IsAbs(o.KubeletRoot) || path.Clean(o.KubeletRoot) == "/" {
		return o, fmt.Errorf("kubelet root %q must be an absolute path, as the kubelet's --root-dir", o.KubeletRoot)
	}
	o.KubeletRoot = path.Clean(o.KubeletRoot)
	return o, nil
}

// Manifests returns every object in the order in which they are applied: the API
// first, the agents last. The objects are the caller's to change.
func Manifests(o Options) ([]*unstructured.Unstructured, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	crds, err := fs.Glob(files, "crds/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	parts := append(crds, "namespace.yaml", "rbac.yaml", "admission.yaml", "reaper.yaml")
	if o.Relay {
		parts = append(parts, "relay/relay.yaml")
	}
	for _, name := range append(parts, "agent.yaml") {
		objects, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("deploy/%s: %w", name, err)
		}
		out = append(out, objects...)
	}
	for file, wanted := range map[string]bool{blockFile: o.BlockDevices, preserveFile: o.PreserveSpecialFiles} {
		if !wanted {
			continue
		}
		if err := patchAgent(out[len(out)-1], file); err != nil {
			return nil, fmt.Errorf("deploy/%s: %w", file, err)
		}
	}
	for _, obj := range out {
		if err := o.apply(obj); err != nil {
			return nil, fmt.Errorf("%s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	return out, nil
}

func read(name string) ([]*unstructured.Unstructured, error) {
	data, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		json, err := yaml.YAMLToJSONStrict([]byte(doc))
		if err != nil {
			return nil, err
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(json); err != nil {
			return nil, err
		}
		out = append(out, obj)
	}
	return out, nil
}
