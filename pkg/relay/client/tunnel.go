// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// tunnel is one connection to a port of a pod, through the API server. Each has a
// connection to the API server of its own: streams that share one stop each other.
type tunnel struct {
	conn httpstream.Connection
	data httpstream.Stream

	mu      sync.Mutex
	failure error
}

// maxErrorText bounds what is read of a kubelet's error, in bytes.
const maxErrorText = 4 << 10

// open connects to a port of a pod.
func open(ctx context.Context, c *cluster.Cluster, namespace, pod string, port int) (*tunnel, error) {
	where := fmt.Sprintf("port %d of pod %s/%s on %s", port, namespace, pod, c)
	conn, err := upgrade(c, namespace, pod)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	t := &tunnel{conn: conn}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	errorStream, err := conn.CreateStream(headers)
	if err == nil {
		_ = errorStream.Close() // our half, which stays empty
		headers.Set(corev1.StreamType, corev1.StreamTypeData)
		t.data, err = conn.CreateStream(headers)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	go t.watchErrors(errorStream)
	return t, nil
}

func upgrade(c *cluster.Cluster, namespace, pod string) (httpstream.Connection, error) {
	url := c.Kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.Config)
	if err != nil {
		return nil, err
	}
	legacy := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	current, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, c.Config)
	if err != nil {
		return nil, err
	}
	dialer := portforward.NewFallbackDialerForStreaming(current, legacy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	conn, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	return conn, err
}

// watchErrors closes the tunnel when the kubelet reports an error.
func (t *tunnel) watchErrors(errorStream io.Reader) {
	text, err := io.ReadAll(io.LimitReader(errorStream, maxErrorText))
	if len(text) == 0 && err == nil {
		return
	}
	if len(text) > 0 {
		err = errors.New(strings.TrimSpace(string(text)))
	}
	t.mu.Lock()
	t.failure = err
	t.mu.Unlock()
	_ = t.conn.Close()
}

// cause is the reason for which the tunnel ended, or err.
func (t *tunnel) cause(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != nil {
		return t.failure
	}
	return err
}

func (t *tunnel) Read(b []byte) (int, error)  { return t.data.Read(b) }
func (t *tunnel) Write(b []byte) (int, error) { return t.data.Write(b) }

// CloseWrite ends our direction.
func (t *tunnel) CloseWrite() error { return t.data.Close() }

// Close ends both directions.
func (t *tunnel) Close() error { return t.conn.Close() }
