// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package pki makes a cluster's certificate authority, the certificates of its components and users, and their
// kubeconfigs. Everything is made once and kept in the cluster's folder: a lab that comes up again after a kill must
// still trust the certificates that its pods and its users hold.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is long enough for any lab and short enough to be obviously not for production.
const validity = 365 * 24 * time.Hour

// Authority signs certificates and keeps them, as NAME.crt and NAME.key, in one folder.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  crypto.Signer
}

// Identity is what a certificate says about its mount pod. With Hosts it is a server's certificate too.
type Identity struct {
	User   string
	Groups []string
	Hosts  []string // DNS names and IP addresses
}

// Open loads the authority kept in dir, or makes a new one there.
func Open(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir}
	if _, err := os.Stat(a.CertFile("ca")); errors.Is(err, fs.ErrNotExist) {
		if err := a.create(); err != nil {
			return nil, fmt.Errorf("make certificate authority: %w", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(a.CertFile("ca"), a.KeyFile("ca"))
	if err != nil {
		return nil, fmt.Errorf("load certificate authority: %w", err)
	}
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(crypto.Signer)
	return a, nil
}

// CertFile is where the named certificate is.
func (a *Authority) CertFile(name string) string { return filepath.Join(a.dir, name+".crt") }

// KeyFile is where the named certificate's key is.
func (a *Authority) KeyFile(name string) string { return filepath.Join(a.dir, name+".key") }

func (a *Authority) create() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "motion-lab"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	return a.sign("ca", template, template, key, key)
}

// Issue makes the named certificate unless it is there already.
func (a *Authority) Issue(name string, id Identity) error {
	if _, err := os.Stat(a.CertFile(name)); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id.User, Organization: id.Groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if len(id.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range id.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if err := a.sign(name, template, a.cert, key, a.key); err != nil {
		return fmt.Errorf("issue certificate %s: %w", name, err)
	}
	return nil
}

// sign writes the key before the certificate, because the certificate is what says that the pair is complete.
func (a *Authority) sign(name string, template, parent *x509.Certificate, key, signer crypto.Signer) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = template.NotBefore.Add(validity)
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(a.KeyFile(name), "PRIVATE KEY", private, 0o600); err != nil {
		return err
	}
	return writePEM(a.CertFile(name), "CERTIFICATE", cert, 0o644)
}

// ServiceAccountKeys makes the pair that signs and checks ServiceAccount tokens: sa.key and sa.pub in the authority's
// folder.
func (a *Authority) ServiceAccountKeys() error {
	public := filepath.Join(a.dir, "sa.pub")
	if _, err := os.Stat(public); err == nil {
		return nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(a.KeyFile("sa"), "PRIVATE KEY", private, 0o600); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return writePEM(public, "PUBLIC KEY", der, 0o644)
}

// writePEM replaces the file in one step, so that a kill never leaves half of one.
func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	next := path + ".next"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
