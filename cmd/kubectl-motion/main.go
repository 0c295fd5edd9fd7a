// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-motion is the kubectl plugin `kubectl motion`.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // the auth providers of kubeconfigs

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/root"
	"github.com/kubectl-motion/kubectl-motion/plugins/volume/csi"
)

// memoryLimit is where the garbage collector begins to work harder, in bytes: the
// plugin runs on people's machines, and a large namespace passes through it once.
const memoryLimit = 160 << 20

func main() {
	os.Exit(run())
}

// run ends on the first signal in an orderly way: a cutover under way puts the
// source back. A second signal ends the process at once.
func run() int {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()

	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	err := root.New(streams, csi.Plugin{}).ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, root.Message(err))
	}
	return exit.Code(err)
}
