// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	alpn          = "kubectl-motion-ship/1"
	exporterLabel = "EXPORTER-kubectl-motion-ship-1"
)

// handshake runs TLS and the greetings over raw. dialler also sends the preface.
func handshake(ctx context.Context, raw net.Conn, local Local, peer Peer, dialler bool) (_ net.Conn, err error) {
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	if err := check(local, peer, dialler); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	release := closeWhenDone(ctx, raw)
	conn, err := negotiate(ctx, raw, local, peer, dialler)
	if !release() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if cause := ctx.Err(); cause != nil && !isOurs(err) {
			err = fmt.Errorf("authenticate the connection: %w", cause)
		}
		return nil, err
	}
	return conn, nil
}

// closeWhenDone closes raw when ctx ends before release is called; release reports whether
// it was in time.
func closeWhenDone(ctx context.Context, raw net.Conn) (release func() bool) {
	return context.AfterFunc(ctx, func() { _ = raw.Close() })
}

func isOurs(err error) bool {
	for _, known := range []error{ErrVersion, ErrPreface, ErrWrongKey, ErrWrongUID, ErrWrongRole, ErrWrongSync, ErrGreeting} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func check(local Local, peer Peer, dialler bool) error {
	switch {
	case local.Key == nil:
		return errors.New("authenticate the connection: no key of our own")
	case !validUID(local.UID) || !validUID(peer.UID):
		return errors.New("authenticate the connection: a shipment UID is empty, too long or not printable")
	case len(peer.KeySHA256) != 2*sha256.Size:
		return errors.New("authenticate the connection: the peer's key is not pinned")
	case dialler != (local.Role == Sender):
		return fmt.Errorf("%w: the sender dials, the receiver accepts", ErrWrongRole)
	}
	return nil
}

func negotiate(ctx context.Context, raw net.Conn, local Local, peer Peer, dialler bool) (net.Conn, error) {
	c := newConn(raw)
	config, err := tlsConfig(local, peer)
	if err != nil {
		return nil, err
	}
	if dialler {
		preface, err := AppendPreface(nil, Preface{Version: Version, TargetUID: peer.UID})
		if err != nil {
			return nil, err
		}
		if _, err := raw.Write(preface); err != nil {
			return nil, fmt.Errorf("send the preface: %w", err)
		}
		c.Conn = tls.Client(&c.wire, config)
	} else {
		c.Conn = tls.Server(&c.wire, config)
	}
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, tlsError(err)
	}
	if err := c.greet(local, peer); err != nil {
		return nil, err
	}
	c.wire.gather()
	return c, nil
}

// tlsError distinguishes the two ways in which pinning fails: this end rejects the other, or the
// other rejects this one and sends an alert.
func tlsError(err error) error {
	if errors.Is(err, ErrWrongKey) {
		return err
	}
	var alert tls.AlertError
	var op *net.OpError
	if errors.As(err, &alert) && uint8(alert) == 42 || errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("%w (reported by the other end about this one): %w", ErrWrongKey, err)
	}
	return fmt.Errorf("TLS handshake: %w", err)
}

func tlsConfig(local Local, peer Peer) (*tls.Config, error) {
	cert, err := certificate(local.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAnyClientCert,
		NextProtos:             []string{alpn},
		ServerName:             "shipment",
		SessionTicketsDisabled: true,
		// The pin replaces the chain: VerifyConnection below runs for both ends.
		InsecureSkipVerify:          true, //nolint:gosec // see VerifyConnection
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPin(cs, peer.KeySHA256)
		},
	}, nil
}

func verifyPin(cs tls.ConnectionState, pin string) error {
	if len(cs.PeerCertificates) != 1 {
		return fmt.Errorf("%w: it presents %d certificates", ErrWrongKey, len(cs.PeerCertificates))
	}
	sum := sha256.Sum256(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(pin)) != 1 {
		return ErrWrongKey
	}
	return nil
}

// certificate wraps the key in an empty certificate, because TLS needs one.
func certificate(k *Key) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.private.Public(), k.private)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the shipment's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k.private}, nil
}
