// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
)

// NewCmdDeleteExpired returns the verb that the target's reaper runs in its cluster.
func NewCmdDeleteExpired(config *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use: pair.ExpireVerb, Short: "Delete the accounts of expired pairs, in the cluster", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.NewTargetFlags(config).ConnectSource(cmd.Context())
			if err != nil {
				return err
			}
			names, err := pair.DeleteExpired(cmd.Context(), cluster.Namespace{Cluster: c, Name: c.Namespace}, time.Now())
			for _, name := range names {
				if _, err := fmt.Fprintf(streams.Out, "serviceaccount/%s deleted: its pair has expired\n", name); err != nil {
					return err
				}
			}
			return err
		},
	}
}
