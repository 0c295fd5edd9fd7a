// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	bignum "math/big"
	"net"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// What every byte of a first copy costs besides being read and written: a digest at each end,
// and to be encrypted and decrypted on its way through loopback. Both are measured with a
// sample, because all that matters is the processor time of a byte.

// sample is how many bytes are digested or encrypted to know what it costs.
const sample = 1 << 30

const (
	leaf   = 16 << 10
	record = 256 << 10
)

// digest hashes n bytes of memory, leaf by leaf.
func digest(n int64) error {
	buf := make([]byte, 1<<20)
	var sum [32]byte
	for ; n > 0; n -= int64(len(buf)) {
		for at := 0; at < len(buf); at += leaf {
			sum = blake3.Sum256(buf[at : at+leaf])
		}
		copy(buf, sum[:])
	}
	return nil
}

// encrypt sends n bytes through TLS over loopback.
func encrypt(n int64) error {
	config, err := selfSigned()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	var group sync.WaitGroup
	defer group.Wait()
	var received error
	group.Go(func() { received = discard(l, config) })
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}} //nolint:gosec // it talks to itself
	c, err := dialer.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return err
	}
	buf := make([]byte, record)
	for ; n > 0 && err == nil; n -= record {
		_, err = c.Write(buf)
	}
	err = errors.Join(err, c.Close())
	group.Wait()
	return errors.Join(err, received)
}

// discard takes one connection and reads it to its end.
func discard(l net.Listener, config *tls.Config) error {
	raw, err := l.Accept()
	if err != nil {
		return err
	}
	c := tls.Server(raw, config)
	defer c.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, record))
	return err
}

func selfSigned() (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: bignum.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
