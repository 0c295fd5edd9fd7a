// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func authority(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func leaf(t *testing.T, a *Authority, name string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.CertFile(name), a.KeyFile(name))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func roots(t *testing.T, a *Authority) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(a.CertFile("ca"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatal("ca.crt holds no certificate")
	}
	return pool
}

func TestAUsersCertificateIsAClientsAndOnlyOfItsOwnAuthority(t *testing.T) {
	a, other := authority(t, t.TempDir()), authority(t, t.TempDir())
	if err := a.Issue("user", Identity{User: "blue", Groups: []string{"team"}}); err != nil {
		t.Fatal(err)
	}
	cert := leaf(t, a, "user")
	if cert.Subject.CommonName != "blue" || len(cert.Subject.Organization) != 1 || cert.Subject.Organization[0] != "team" {
		t.Errorf("subject is %v", cert.Subject)
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots(t, a), KeyUsages: client}); err != nil {
		t.Errorf("its own authority: %v", err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots(t, other), KeyUsages: client}); err == nil {
		t.Error("another cluster's authority accepts it")
	}
	server := x509.VerifyOptions{Roots: roots(t, a), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := cert.Verify(server); err == nil {
		t.Error("a user can pose as a server")
	}
}

func TestAServersCertificateNamesItsHosts(t *testing.T) {
	a := authority(t, t.TempDir())
	if err := a.Issue("server", Identity{User: "s", Hosts: []string{"10.0.0.1", "kubernetes.default"}}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"10.0.0.1", "kubernetes.default"} {
		if _, err := leaf(t, a, "server").Verify(x509.VerifyOptions{Roots: roots(t, a), DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestWhatWasIssuedIsKept(t *testing.T) {
	dir := t.TempDir()
	first := authority(t, dir)
	if err := first.Issue("user", Identity{User: "blue"}); err != nil {
		t.Fatal(err)
	}
	if err := first.ServiceAccountKeys(); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, name := range []string{"ca.crt", "ca.key", "user.crt", "user.key", "sa.key", "sa.pub"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		before[name] = string(data)
	}
	again := authority(t, dir)
	if err := again.Issue("user", Identity{User: "blue"}); err != nil {
		t.Fatal(err)
	}
	if err := again.ServiceAccountKeys(); err != nil {
		t.Fatal(err)
	}
	for name, want := range before {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s changed: %v", name, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "user.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
}

func TestAKubeconfigIsWholeInItself(t *testing.T) {
	a := authority(t, t.TempDir())
	if err := a.Issue("user", Identity{User: "blue"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := WriteKubeconfig(file, Context{
		Name: "lab-a-blue", Server: "https://10.0.0.1:6443", Namespace: "blue",
		Authority: a, Cert: "user",
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || current.Namespace != "blue" {
		t.Fatalf("current context is %+v", current)
	}
	rest, err := clientcmd.NewDefaultClientConfig(*config, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://10.0.0.1:6443" || len(rest.CertData) == 0 || len(rest.KeyData) == 0 || len(rest.CAData) == 0 ||
		rest.CertFile != "" {
		t.Errorf("the kubeconfig leads to %s with files %q", rest.Host, rest.CertFile)
	}
}
