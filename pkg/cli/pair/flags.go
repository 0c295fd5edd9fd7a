// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// life are the flags about how long things live.
type life struct{ expires, ttl string }

func (l *life) add(fs *pflag.FlagSet) {
	fs.StringVar(&l.expires, "expires", "90d", "How long the pair lives, as in 90d or 12h; its credential is renewed until then")
	fs.StringVar(&l.ttl, "credential-ttl", "24h", "How long each credential of the pair lives, at least 10m")
}

func (l *life) values() (expires, ttl time.Duration, err error) {
	if expires, err = days("--expires", l.expires); err != nil {
		return 0, 0, err
	}
	if ttl, err = days("--credential-ttl", l.ttl); err != nil {
		return 0, 0, err
	}
	return expires, min(ttl, expires), nil
}

// days reads a duration, in Go's units or in days.
func days(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, ok := strings.CutSuffix(text, "d"); ok && err != nil {
		var count uint64
		if count, err = strconv.ParseUint(n, 10, 16); err == nil {
			d = time.Duration(count) * 24 * time.Hour
		}
	}
	if err != nil {
		return 0, &exit.UsageError{Err: fmt.Errorf("invalid %s %q: must be a duration such as 90d or 12h", flag, text)}
	}
	if d < pair.MinTTL {
		return 0, &exit.UsageError{Err: fmt.Errorf("%s %s is shorter than %s", flag, text, pair.MinTTL)}
	}
	return d, nil
}

// policyFlags are what an administrator says about the pair's MotionPolicies.
type policyFlags struct {
	fs            *pflag.FlagSet
	bandwidth     string
	concurrent    int32
	special       string
	allowUnpaired bool
	relay         bool
	mountPodImage string
	pullSecrets   []string
}

func (f *policyFlags) add(fs *pflag.FlagSet) {
	f.fs = fs
	fs.StringVar(&f.bandwidth, "max-bandwidth", "", "Policy: bytes per second on the wire for each volume, as in 50Mi")
	fs.Int32Var(&f.concurrent, "max-concurrent-shipments", 0, "Policy: volumes of a namespace that an agent works on at a time, 1 to 64")
	fs.StringVar(&f.special, "special-files", "", "Policy: refuse or preserve setuid-root files, devices, file capabilities and trusted.* attributes")
	fs.BoolVar(&f.allowUnpaired, "allow-unpaired", false, "Policy: volumes may be shipped with --to-context, without the pair")
	fs.BoolVar(&f.relay, "relay", false, "Policy: data may go through the API servers, by relays that kubectl motion agent install --relay adds to both clusters")
	fs.StringVar(&f.mountPodImage, "mount-pod-image", "", "Policy: image of the pods that hold volumes, if the pause image is mirrored elsewhere")
	fs.StringSliceVar(&f.pullSecrets, "mount-pod-pull-secret", nil, "Policy: Secrets of the namespace that pull --mount-pod-image")
}

// options are the flags that were set: the others leave what is there.
func (f *policyFlags) options() (pair.PolicyOptions, error) {
	var o pair.PolicyOptions
	if f.fs.Changed("max-bandwidth") {
		q, err := resource.ParseQuantity(f.bandwidth)
		if err != nil || q.Value() <= 0 {
			return o, &exit.UsageError{Err: fmt.Errorf("--max-bandwidth %q must be a positive quantity of bytes per second, as in 50Mi", f.bandwidth)}
		}
		o.MaxBandwidth = &q
	}
	if f.fs.Changed("max-concurrent-shipments") {
		if f.concurrent < 1 || f.concurrent > 64 {
			return o, &exit.UsageError{Err: fmt.Errorf("--max-concurrent-shipments %d must be from 1 to 64", f.concurrent)}
		}
		o.MaxConcurrentShipments = &f.concurrent
	}
	if f.fs.Changed("special-files") {
		switch strings.ToLower(f.special) {
		case "refuse":
			o.SpecialFiles = new(v1alpha1.SpecialFilesRefuse)
		case "preserve":
			o.SpecialFiles = new(v1alpha1.SpecialFilesPreserve)
		default:
			return o, &exit.UsageError{Err: fmt.Errorf("--special-files must be refuse or preserve, not %q", f.special)}
		}
	}
	if f.fs.Changed("allow-unpaired") {
		o.AllowUnpaired = &f.allowUnpaired
	}
	if f.fs.Changed("relay") {
		o.Relay = &f.relay
	}
	if f.fs.Changed("mount-pod-image") {
		o.MountPodImage = &f.mountPodImage
	}
	if f.fs.Changed("mount-pod-pull-secret") {
		o.MountPodPullSecrets = f.pullSecrets
	}
	return o, nil
}

func prefixes(flag string, in []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(in))
	for _, s := range in {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, &exit.UsageError{Err: fmt.Errorf("%s: %w", flag, err)}
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// asker asks the person at the terminal.
type asker struct {
	yes     bool
	streams genericiooptions.IOStreams
}

func (a *asker) add(fs *pflag.FlagSet) {
	fs.BoolVarP(&a.yes, "yes", "y", false, "Do not ask")
}

// confirm asks at the terminal; without one it refuses rather than guess.
func (a *asker) confirm(question string) error {
	if a.yes {
		return nil
	}
	question = progress.Escape(question)
	if in, ok := a.streams.In.(interface{ Fd() uintptr }); !ok || !term.IsTerminal(int(in.Fd())) {
		return &exit.UsageError{Err: fmt.Errorf("%s\nthere is no terminal to answer at: say --yes", question)}
	}
	if _, err := fmt.Fprintf(a.streams.ErrOut, "%s (y/N): ", question); err != nil {
		return err
	}
	answer, err := bufio.NewReader(a.streams.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return nil
	}
	return pair.ErrDeclined
}
