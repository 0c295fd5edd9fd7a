// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package csi is lab-csi, a small CSI driver: volumes of one node, each an image file on the node's XFS with reflinks.
//
// A volume with a filesystem is an ext4 in its image, mounted through a loop device; a raw block volume is the loop
// device. So the size of a volume is enforced, and a snapshot is a reflink of the image, as crash-consistent as a
// storage array's: what the kernel had not written back is missing, and change times may be older than the data
// beside them. Volumes of a class with the parameter freeze are frozen for the moment of a snapshot instead.
//
// One process serves one node: as the node's plugin, which it registers with the kubelet; as the controller
// to which external-snapshotter's sidecar talks; and as the provisioner of the node's claims, which lets them grow,
// because external-provisioner is not to be had as a module.
package csi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Driver is the name of the driver and of its provisioner.
const Driver = "csi.lab.kubectl-motion.dev"

// Socket is where the driver listens, as seen on the node.
const Socket = "/var/lib/kubelet/plugins/" + Driver + "/csi.sock"

// registry is where the kubelet looks for the sockets of plugins.
const registry = "/var/lib/kubelet/plugins_registry/" + Driver + "-reg.sock"

// Topology is the key that says on which node a volume is.
const Topology = "csi.lab.kubectl-motion.dev/node"

// Run serves one node until the context ends. Volumes are files below root.
func Run(ctx context.Context, kubeconfig, node, root string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	d := &driver{node: node, disks: disks{root: root}, held: map[string]*loop{}}
	if err := d.disks.prepare(); err != nil {
		return err
	}
	failures := make(chan error, 3)
	serving := []struct {
		socket   string
		register func(*grpc.Server)
	}{
		{Socket, func(s *grpc.Server) {
			spec.RegisterIdentityServer(s, d)
			spec.RegisterControllerServer(s, d)
			spec.RegisterNodeServer(s, d)
		}},
		{registry, func(s *grpc.Server) { registration.RegisterRegistrationServer(s, registrar{}) }},
	}
	for _, s := range serving {
		server, listener, err := listen(s.socket)
		if err != nil {
			return err
		}
		s.register(server)
		go func() { failures <- server.Serve(listener) }()
		defer server.Stop()
	}
	p := &provisioner{driver: d, client: client, objects: objects}
	d.growStaged = p.growStaged
	if err := p.expander(ctx); err != nil {
		return err
	}
	c := controller.NewProvisionController(ctx, client, Driver, p,
		controller.LeaderElection(false), controller.AddFinalizer(true))
	go func() { c.Run(ctx); failures <- errors.New("the provisioner's controller ended") }()
	return <-failures
}

func listen(socket string) (*grpc.Server, net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("listen at %s: %w", socket, err)
	}
	return grpc.NewServer(), listener, nil
}

// registrar tells the kubelet about the driver.
type registrar struct {
	registration.UnimplementedRegistrationServer
}

// GetInfo is the kubelet's question who is there.
func (registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: Driver, Endpoint: Socket, SupportedVersions: []string{"1.0.0"},
	}, nil
}

// NotifyRegistrationStatus is the kubelet's answer.
func (registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !s.GetPluginRegistered() {
		fmt.Fprintln(os.Stderr, "the kubelet does not take the driver:", s.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

// driver is the CSI services of one node.
type driver struct {
	spec.UnimplementedIdentityServer
	spec.UnimplementedControllerServer
	spec.UnimplementedNodeServer

	node  string
	disks disks
	// growStaged grows a volume before it is mounted; the caller holds mu.
	growStaged func(ctx context.Context, id string) error

	// mu is held while a volume's description is changed.
	mu sync.Mutex
	// held are the loop devices of published block volumes, by volume: a device frees itself when the last one who
	// has it open closes it, also when this process dies.
	held map[string]*loop
}

// loop is the device of a block volume and the paths where pods have it.
type loop struct {
	device *os.File
	at     map[string]bool
}

// GetPluginInfo names the driver.
func (d *driver) GetPluginInfo(context.Context, *spec.GetPluginInfoRequest) (*spec.GetPluginInfoResponse, error) {
	return &spec.GetPluginInfoResponse{Name: Driver, VendorVersion: "1"}, nil
}

// GetPluginCapabilities says that there is a controller, and that volumes are not everywhere.
func (d *driver) GetPluginCapabilities(context.Context, *spec.GetPluginCapabilitiesRequest) (*spec.GetPluginCapabilitiesResponse, error) {
	service := func(t spec.PluginCapability_Service_Type) *spec.PluginCapability {
		return &spec.PluginCapability{Type: &spec.PluginCapability_Service_{Service: &spec.PluginCapability_Service{Type: t}}}
	}
	return &spec.GetPluginCapabilitiesResponse{Capabilities: []*spec.PluginCapability{
		service(spec.PluginCapability_Service_CONTROLLER_SERVICE),
		service(spec.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS),
	}}, nil
}

// Probe says that the driver is there.
func (d *driver) Probe(context.Context, *spec.ProbeRequest) (*spec.ProbeResponse, error) {
	return &spec.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
