// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/endpoint"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// probeTimeout bounds the whole check of the route, with the start of its pod.
const probeTimeout = 90 * time.Second

// checkRoute lets a pod of the source dial the agents of the target, from where
// the source's agents will dial them and through everything in between: the
// network, the NodePort, and the target's policy about whom it accepts. With the
// relay, no agent is dialled.
func (p *Pairing) checkRoute(ctx context.Context) error {
	addresses, err := agentAddresses(ctx, p.Target)
	if errors.Is(err, ErrNoAddress) && p.relay() {
		progress.Notef(p.Sink, "volumes will go by the relay: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	said, err := Probe{Source: p.Source, Namespace: deploy.DefaultNamespace, Addresses: addresses}.Run(ctx)
	if errors.Is(err, ErrNoRoute) {
		err = fmt.Errorf("the agents of %s cannot be reached from %s at %s:\n%s\nopen these addresses for the nodes of %s, name the networks in between with --source-cidr and --target-cidr, or use --relay",
			p.Target, p.Source, strings.Join(addresses, ", "), said, p.Source)
		if p.relay() {
			progress.Notef(p.Sink, "volumes will go by the relay: %v", err)
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(said) {
		progress.Notef(p.Sink, "%s", strings.TrimSpace(line))
	}
	return nil
}

// agentAddresses are the host:port pairs at which the agents of c can be dialled.
func agentAddresses(ctx context.Context, c *cluster.Cluster) ([]string, error) {
	networks, err := nodeNetworks(ctx, c)
	if err != nil {
		return nil, err
	}
	nodes := make([]string, 0, len(networks))
	for _, n := range networks {
		nodes = append(nodes, n.Addr().String())
	}
	return Addresses(ctx, c, nodes)
}

// Addresses are the host:port pairs at which the agents of c can be dialled, in the
// order in which a sender tries them: what an administrator gave, a load balancer, a
// port of its nodes. ErrNoAddress when there is none.
func Addresses(ctx context.Context, c *cluster.Cluster, nodes []string) ([]string, error) {
	svc, err := c.Kube.CoreV1().Services(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("service %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, c, err)
	}
	out := endpoint.Of(svc).Addresses(nodes...)
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: service %s/%s on %s has no node port, no ready load balancer and no endpoint",
			ErrNoAddress, deploy.DefaultNamespace, deploy.AgentName, c)
	}
	return out, nil
}

// ErrNoAddress means that the agents of a cluster cannot be dialled.
var ErrNoAddress = errors.New("the agents publish no address")

// ErrNoRoute is returned by a Probe that reached no agent that accepts it.
var ErrNoRoute = errors.New("no agent answers and accepts connections from here")

// Probe dials agents from a pod of the source, and measures the rate.
type Probe struct {
	Source *cluster.Cluster
	// Namespace to run the pod in.
	Namespace string
	// Addresses are host:port pairs.
	Addresses []string
}

// Run returns a line for each address.
func (p Probe) Run(ctx context.Context) (said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	pod, err := p.pod(ctx)
	if err != nil {
		return "", err
	}
	pods := p.Source.Kube.CoreV1().Pods(pod.Namespace)
	// A probe of an earlier run that was killed would answer for its own time.
	if err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("pod %s/%s on %s: %w", pod.Namespace, pod.Name, p.Source, err)
	}
	err = wait.PollUntilContextCancel(ctx, agentPoll, true, func(ctx context.Context) (bool, error) {
		_, err := pods.Create(ctx, pod, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
		return err == nil, retryIfExists(err)
	})
	if err != nil {
		return "", fmt.Errorf("pod %s/%s on %s: %w", pod.Namespace, pod.Name, p.Source, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = pods.Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	}()
	phase, err := p.await(ctx, pod)
	said = p.logOf(ctx, pod)
	if err != nil {
		return said, fmt.Errorf("the probe on %s did not end: %w: %s", p.Source, err, said)
	}
	if phase != corev1.PodSucceeded {
		return said, ErrNoRoute
	}
	return said, nil
}

// retryIfExists waits for the pod of an earlier run to be gone.
func retryIfExists(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// pod runs the agent's image, without its rights, as an ordinary pod.
func (p Probe) pod(ctx context.Context) (*corev1.Pod, error) {
	ds, err := p.Source.Kube.AppsV1().DaemonSets(deploy.DefaultNamespace).Get(ctx, deploy.AgentName, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("daemonset %s/%s on %s: %w", deploy.DefaultNamespace, deploy.AgentName, p.Source, err)
	}
	agent := ds.Spec.Template.Spec.Containers[0]
	yes, no, user := true, false, int64(65532)
	return &corev1.Pod{
		ObjectMeta: ours("motion-probe-"+digest(p.Addresses...), p.Namespace),
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, AutomountServiceAccountToken: &no,
			ImagePullSecrets: ds.Spec.Template.Spec.ImagePullSecrets,
			Tolerations:      []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, RunAsUser: &user,
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: agent.Image, ImagePullPolicy: agent.ImagePullPolicy,
				Command: []string{"/motion-agent", "probe"}, Args: slices.Clone(p.Addresses),
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}, nil
}

func (p Probe) await(ctx context.Context, pod *corev1.Pod) (phase corev1.PodPhase, err error) {
	err = wait.PollUntilContextCancel(ctx, agentPoll, true, func(ctx context.Context) (bool, error) {
		got, err := p.Source.Kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		phase = got.Status.Phase
		return phase == corev1.PodSucceeded || phase == corev1.PodFailed, nil
	})
	return phase, err
}

// maxProbeLog bounds what is shown of the probe's words, in bytes.
const maxProbeLog = 8 << 10

func (p Probe) logOf(ctx context.Context, pod *corev1.Pod) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r, err := p.Source.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(ctx)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, maxProbeLog))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// checkPairs opens each pair as its users will and records that it works.
func (p *Pairing) checkPairs(ctx context.Context) error {
	for _, m := range p.Request.Namespaces {
		if err := p.checkPair(ctx, m); err != nil {
			return fmt.Errorf("namespace %s: %w", m.Source, err)
		}
	}
	return nil
}

func (p *Pairing) checkPair(ctx context.Context, m Mapping) error {
	target, err := Open(ctx, p.Source, m.Source, p.Request.Name)
	if err != nil {
		return err
	}
	if err := p.awaitRights(ctx, target); err != nil {
		return err
	}
	pair, err := p.pairOf(ctx, m)
	if err != nil {
		return err
	}
	ready := metav1.Condition{
		Type: v1alpha1.PairReady, Status: metav1.ConditionTrue, ObservedGeneration: pair.Generation,
		Reason: "Checked", Message: "the credential works, and agents of the source reach those of the target",
	}
	if now := meta.FindStatusCondition(pair.Status.Conditions, ready.Type); now != nil && now.Status == ready.Status &&
		now.ObservedGeneration == ready.ObservedGeneration && pair.Status.ObservedGeneration == pair.Generation {
		return nil
	}
	return updateStatus(ctx, p.Source, m.Source, p.Request.Name, func(s *v1alpha1.ClusterPairStatus) {
		meta.SetStatusCondition(&s.Conditions, ready)
	})
}

// aggregating is how long an API server may need to put a role together of its
// parts, and to know of it.
const aggregating = 20 * time.Second

// awaitRights waits until the credential may do everything that a migration needs.
func (p *Pairing) awaitRights(ctx context.Context, target *cluster.Cluster) error {
	var missing []string
	err := wait.PollUntilContextTimeout(ctx, agentPoll, aggregating, true, func(ctx context.Context) (_ bool, err error) {
		missing, err = LackingOnTarget(ctx, target)
		return len(missing) == 0, err
	})
	if len(missing) > 0 {
		return fmt.Errorf("the credential may not: %s", strings.Join(missing, ", "))
	}
	return err
}

// IsNoPair says whether an error is about a pair that is not there.
func IsNoPair(err error) bool { return errors.Is(err, errNoPair) }
