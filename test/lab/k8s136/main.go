// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command k8s136 is every Kubernetes component of one minor version, kubectl and etcd, in one binary: the first argument
// says which one to be. One link step instead of six keeps a cold build within minutes on two cores.
//
// A cluster of another Kubernetes minor is one more module beside this one: its go.mod names that minor and maps each
// staging module to the matching v0 release, its main.go is a copy of this file.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if filepath.Base(os.Args[0]) != "kubectl" { // called by that name it needs no first argument
		os.Args = os.Args[1:]
	}
	if len(os.Args) == 0 {
		usage()
	}
	component := filepath.Base(os.Args[0])
	if component == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	command := commandFor(component)
	if command == nil {
		usage()
	}
	os.Exit(cli.Run(command))
}

// commandFor returns the named component's own command, or nil when there is none of that name.
func commandFor(component string) *cobra.Command {
	switch component {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background())
	case "kubectl":
		return kubectl.NewDefaultKubectlCommand()
	case "kube-proxy":
		return proxy.NewProxyCommand()
	}
	return nil
}

func usage() {
	fmt.Fprintln(os.Stderr,
		"usage: k8s136 etcd|kube-apiserver|kube-controller-manager|kube-scheduler|kubelet|kube-proxy|kubectl [FLAGS]")
	os.Exit(2)
}
