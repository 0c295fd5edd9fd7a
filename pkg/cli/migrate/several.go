// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strings"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
)

// several is the report of several namespaces.
type several struct {
	Migrations []outcome `json:"migrations"`
}

// outcome is the result of one namespace. The Result is valid also when there is an
// Error.
type outcome struct {
	Namespace string `json:"namespace"`
	migrate.Result
	// ExitCode is the exit status of a run for this namespace alone.
	ExitCode int    `json:"exitCode"`
	Error    string `json:"error,omitempty"`
}

func (s *several) add(namespace string, r migrate.Result, err error) {
	o := outcome{Namespace: namespace, Result: r, ExitCode: exit.Code(err)}
	if err != nil {
		o.Error = err.Error()
	}
	s.Migrations = append(s.Migrations, o)
}

func (s *several) text() string {
	var b strings.Builder
	for _, o := range s.Migrations {
		fmt.Fprintf(&b, "namespace %s: ", o.Namespace)
		if o.Error == "" {
			b.WriteString("done\n")
		} else {
			fmt.Fprintf(&b, "exit status %d: %s\n", o.ExitCode, o.Error)
		}
		if o.Migration != "" {
			b.WriteString(summary(o.Result))
		}
	}
	return b.String()
}

// failed is the error of the whole run.
func (s *several) failed() error {
	var names []string
	for _, o := range s.Migrations {
		if o.Error != "" {
			names = append(names, o.Namespace)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &someFailedError{names, len(s.Migrations)}
}

type someFailedError struct {
	names []string
	of    int
}

func (e *someFailedError) Error() string {
	return fmt.Sprintf("%d of %d namespaces failed: %s", len(e.names), e.of, strings.Join(e.names, ", "))
}

// ExitCode is that of a command that finished with some items failed.
func (*someFailedError) ExitCode() int { return exit.Partial }
