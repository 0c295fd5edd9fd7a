// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Context is one entry of a kubeconfig: a server, the authority that signed it, and the certificate to show there.
type Context struct {
	Name      string
	Server    string
	Namespace string
	Authority *Authority
	Cert      string // as given to Issue
}

// WriteKubeconfig writes a kubeconfig with these contexts, the first of them current. Certificates are embedded, so
// the file can be copied anywhere.
func WriteKubeconfig(path string, contexts ...Context) error {
	config := api.NewConfig()
	for _, c := range contexts {
		if err := addContext(config, c); err != nil {
			return fmt.Errorf("kubeconfig context %s: %w", c.Name, err)
		}
	}
	config.CurrentContext = contexts[0].Name
	next := path + ".next"
	if err := clientcmd.WriteToFile(*config, next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func addContext(config *api.Config, c Context) error {
	ca, err := os.ReadFile(c.Authority.CertFile("ca"))
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(c.Authority.CertFile(c.Cert))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.Authority.KeyFile(c.Cert))
	if err != nil {
		return err
	}
	config.Clusters[c.Name] = &api.Cluster{Server: c.Server, CertificateAuthorityData: ca}
	config.AuthInfos[c.Name] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[c.Name] = &api.Context{Cluster: c.Name, AuthInfo: c.Name, Namespace: c.Namespace}
	return nil
}
