// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// Key is the key pair of one end of one shipment.
type Key struct {
	private ed25519.PrivateKey
	sum     string
}

const pemType = "PRIVATE KEY"

// NewKey makes a key pair.
func NewKey() (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key pair: %w", err)
	}
	return newKey(private)
}

func newKey(private ed25519.PrivateKey) (*Key, error) {
	spki, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	sum := sha256.Sum256(spki)
	return &Key{private: private, sum: hex.EncodeToString(sum[:])}, nil
}

// SHA256 gives the digest of the public key's SubjectPublicKeyInfo, by which the other
// end pins it: 64 lower-case hex digits.
func (k *Key) SHA256() string { return k.sum }

// MarshalPEM encodes the private key as PKCS#8 in PEM.
func (k *Key) MarshalPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("encode the private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// ParsePEM reads what MarshalPEM wrote.
func ParsePEM(data []byte) (*Key, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(block.Headers) != 0 {
		return nil, errors.New("parse the shipment key: no PEM block of type " + pemType)
	}
	if len(rest) != 0 {
		return nil, errors.New("parse the shipment key: more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse the shipment key: %w", err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parse the shipment key: it is %T, not ed25519", parsed)
	}
	return newKey(private)
}
