// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-motion/kubectl-motion/pkg/cli/exit"
	"github.com/kubectl-motion/kubectl-motion/pkg/cli/flags"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair"
	"github.com/kubectl-motion/kubectl-motion/pkg/pair/check"
)

func TestLifetimesAreReadInDaysToo(t *testing.T) {
	for text, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "12h": 12 * time.Hour, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute} {
		if got, err := days("--expires", text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "90", "1w", "5m", "0d", "99999999d"} {
		_, err := days("--expires", text)
		if _, ok := errors.AsType[*exit.UsageError](err); !ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhichNamespaceGoesWhereIsSaidForEach(t *testing.T) {
	for name, c := range map[string]struct {
		to    string
		names []string
		want  []pair.Mapping
		err   string
	}{
		"the same name":         {"", []string{"shop"}, []pair.Mapping{{Source: "shop", Target: "shop"}}, ""},
		"another":               {"eu", []string{"shop"}, []pair.Mapping{{Source: "shop", Target: "eu"}}, ""},
		"one of two":            {"b=eu", []string{"a", "b"}, []pair.Mapping{{Source: "a", Target: "a"}, {Source: "b", Target: "eu"}}, ""},
		"both to one":           {"a=eu,b=eu", []string{"a", "b"}, []pair.Mapping{{Source: "a", Target: "eu"}, {Source: "b", Target: "eu"}}, ""},
		"one that is not meant": {"c=eu", []string{"a"}, nil, "names c"},
		"the system's":          {"a=kube-system", []string{"a"}, nil, "system namespace"},
		"the system's, alone":   {"kube-system", []string{"a"}, nil, "system namespace"},
		"half a mapping":        {"a=", []string{"a"}, nil, "not SOURCE=TARGET"},
	} {
		o := &Options{flags: &Flags{ends: &flags.TargetFlags{ToNamespace: c.to}}}
		err := o.parseMapping()
		var got []pair.Mapping
		if err == nil {
			got, err = o.mappings(c.names)
		}
		if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestPairsAreListedWithWhatEndsWhen(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *metav1.Time { return new(metav1.NewTime(now.Add(d))) }
	f := &listFlags{all: true}
	text := f.text([]check.Pair{{
		Namespace: "shop", Name: "west", TargetNamespace: "eu", Server: "https://west\x1b[2J", Ready: metav1.ConditionTrue,
		CredentialExpiryTime: at(23 * time.Hour), ExpiryTime: at(-time.Second), CreatedAt: *at(-48 * time.Hour),
	}}, now)
	var columns [][]string
	for line := range strings.Lines(text) {
		columns = append(columns, strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\n' }))
	}
	want := []string{"shop", "west", "eu", `https://west\x1b[2J`, "True", "23h", "ended", "2d"}
	if len(columns) != 2 || cmp.Diff(want, columns[1]) != "" {
		t.Errorf("%q", columns)
	}
	if bytes.ContainsRune([]byte(text), 0x1b) {
		t.Error("an escape sequence reaches the terminal")
	}
}

func TestWhoCannotBeAskedIsNotTakenToSayYes(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	err := (&asker{streams: streams}).confirm("On a:\n  x is created\nContinue?")
	if _, ok := errors.AsType[*exit.UsageError](err); !ok || !strings.Contains(err.Error(), "say --yes") {
		t.Error(err)
	}
	if err := (&asker{yes: true, streams: streams}).confirm("?"); err != nil {
		t.Error(err)
	}
}

func TestEveryExampleHasACommentAndEveryHelpTheExitStatus(t *testing.T) {
	streams, _, _, _ := genericiooptions.NewTestIOStreams()
	config := genericclioptions.NewConfigFlags(true)
	commands := append(NewCmdPair(config, streams).Commands(), NewCmdPair(config, streams), NewCmdPairs(config, streams), NewCmdUnpair(config, streams))
	if len(commands) != 6 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, c := range commands {
		if !strings.Contains(c.Long, exit.Status) {
			t.Errorf("%s: no exit status", c.Name())
		}
		before := ""
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "kubectl") && !strings.HasPrefix(before, "#") {
				t.Errorf("%s: no comment before %q", c.Name(), line)
			}
			before = line
		}
	}
}
