// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/migrate"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// Name returns the name of the Migration: the one given, else that of the pair or
// context in the characters that an object's name may have. It is a label's value too.
func Name(f *flags.TargetFlags, given string) (string, error) {
	if given != "" {
		if msgs := validation.IsDNS1123Label(given); len(msgs) > 0 {
			return "", &exit.UsageError{Err: fmt.Errorf("invalid --name %q: must be a DNS label: %s", given, strings.Join(msgs, "; "))}
		}
		return given, nil
	}
	name := f.To
	if name == "" {
		name = f.ToContext
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	if name = strings.Trim(name[:min(len(name), 50)], "-"); name == "" {
		return "", &exit.UsageError{Err: errors.New("cannot derive the name of the Migration from the target's name: use --name")}
	}
	return name, nil
}

// summary is the text on stdout.
func summary(r migrate.Result) string {
	var b strings.Builder
	state := "on standby"
	if r.Active {
		state = "active"
	}
	fmt.Fprintf(&b, "migration.kubectl-motion.dev/%s %s\n", r.Migration, state)
	fmt.Fprintf(&b, "objects: %d moved, %d unchanged, %d waiting for activation, %d skipped, %d need an administrator, %d failed\n",
		r.Counts.Moved, r.Counts.Unchanged, r.Counts.Waiting, r.Counts.Skipped, r.Counts.NeedsAdmin, r.Counts.Failed)
	for _, v := range r.Volumes {
		fmt.Fprintf(&b, "volume %s: %s, %s sent, %s on the wire\n", v.Claim, volumeState(v.Consistency, v.Reason),
			progress.Bytes(v.SentBytes), progress.Bytes(v.WireBytes))
	}
	if r.DowntimeSeconds > 0 {
		fmt.Fprintf(&b, "downtime: %s\n", seconds(r.DowntimeSeconds))
	}
	fmt.Fprintf(&b, "took: %s\n", seconds(r.ElapsedSeconds))
	if r.Next != "" {
		fmt.Fprintf(&b, "next: %s\n", r.Next)
	}
	return b.String()
}

func volumeState(consistency, reason string) string {
	switch {
	case reason != "":
		return reason
	case consistency == "":
		return "not verified"
	default:
		return "verified (" + strings.ToLower(consistency) + ")"
	}
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Millisecond).String()
}
