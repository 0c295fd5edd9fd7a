// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestAHeaderComesBackAsItWas(t *testing.T) {
	for _, h := range []Header{
		{Via: Agent, From: netip.MustParseAddr("192.0.2.7")},
		{Via: Agent, From: netip.MustParseAddr("2001:db8::7")},
		{Via: Relay},
	} {
		b := AppendHeader(nil, h)
		if len(b) != MagicSize+HeaderSize || !IsHeader(b[:MagicSize]) || IsOffer(b[:MagicSize]) {
			t.Fatalf("%+v is encoded as %q", h, b)
		}
		if got, err := ParseHeader(b[MagicSize:]); err != nil || got != h {
			t.Errorf("%+v came back as %+v, %v", h, got, err)
		}
	}
}

func TestAHeaderThatSaysTooLittleOrTooMuchIsMalformed(t *testing.T) {
	for what, b := range map[string][]byte{
		"an agent that says no address": AppendHeader(nil, Header{Via: Agent}),
		"a relay that says an address":  AppendHeader(nil, Header{Via: Relay, From: netip.MustParseAddr("192.0.2.7")}),
		"nobody":                        AppendHeader(nil, Header{From: netip.MustParseAddr("192.0.2.7")}),
		"somebody unknown":              AppendHeader(nil, Header{Via: 3, From: netip.MustParseAddr("192.0.2.7")}),
	} {
		if h, err := ParseHeader(b[MagicSize:]); err == nil {
			t.Errorf("%s: %+v", what, h)
		}
	}
}

func TestAnOfferComesBackAsItWas(t *testing.T) {
	for _, uid := range []string{"6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11", "x", strings.Repeat("y", MaxUID)} {
		b, err := AppendOffer(nil, uid)
		if err != nil || !IsOffer(b[:MagicSize]) {
			t.Fatal(err)
		}
		if got, err := ParseOffer(b[MagicSize:]); err != nil || got != uid {
			t.Errorf("%q came back as %q, %v", uid, got, err)
		}
	}
	for _, uid := range []string{"", "a b", "a\x00", strings.Repeat("y", MaxUID+1), "ü"} {
		if _, err := AppendOffer(nil, uid); err == nil {
			t.Errorf("%q is no UID", uid)
		}
	}
}

func TestAMeasurementIsAnsweredWithARate(t *testing.T) {
	if b := AppendRate(nil); len(b) != MagicSize || !IsRate(b) || IsOffer(b) || IsHeader(b) {
		t.Errorf("it begins with %q", b)
	}
	if got, err := ParseRateAnswer(AppendRateAnswer(nil, 10<<20, 2*time.Second)); err != nil || got != 5<<20 {
		t.Errorf("%d bytes a second, %v", got, err)
	}
	for _, answer := range []string{"", "HTTP/1.1 400 Bad Request\r\n", "kubectl-motion relay -1 5\n", "kubectl-motion relay 5 -1\n", "kubectl-motion relay 99999999999 1\n"} {
		if got, err := ParseRateAnswer([]byte(answer)); err == nil {
			t.Errorf("%q is %d bytes a second", answer, got)
		}
	}
}

// What is accepted is exactly what the encoder writes.
func FuzzOnward(f *testing.F) {
	offer, _ := AppendOffer(nil, "6f0a3d0e-8f0f-4d9a-9d3c-0a7c5f3f9b11")
	f.Add(offer[MagicSize:])
	f.Add(AppendHeader(nil, Header{Via: Relay})[MagicSize:])
	f.Add(AppendHeader(nil, Header{Via: Agent, From: netip.MustParseAddr("192.0.2.7")})[MagicSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHeader(b); err == nil && !bytes.Equal(AppendHeader(nil, h)[MagicSize:], b) {
			t.Errorf("header %q is read as %+v", b, h)
		}
		if uid, err := ParseOffer(b); err == nil {
			again, err := AppendOffer(nil, uid)
			if err != nil || !bytes.Equal(again[MagicSize:], b) {
				t.Errorf("offer %q is read as %q", b, uid)
			}
		}
	})
}
