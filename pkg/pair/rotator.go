// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"bytes"
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/progress"
)

// RotateVerb is the verb of the plugin that the token rotator runs.
const RotateVerb = "rotate-token"

// RotatorFolder is where the token rotator's Secret is mounted in its pod.
const RotatorFolder = "/etc/kubectl-motion/rotator"

// rotates reports whether a token rotator is needed: a credential that lives as long
// as the pair needs none.
func (p *Pairing) rotates() bool { return p.Request.Expires > p.Request.CredentialTTL }

func (p *Pairing) rotatorName(m Mapping) string {
	return RotatorName(p.Source.ID, m.Source, p.Request.Name)
}

// composeRotator is the token rotator: an account on the target that may create tokens of
// the pair's account and do nothing else, one on the source that may write the
// pair's Secret and note it in the pair's status, and the job that has both.
//
// The pair's own credential cannot create its successor: who has read it once must
// not have it for ever.
func (p *Pairing) composeRotator(ctx context.Context, c *composer, m Mapping, expiry metav1.Time) {
	name, account := p.rotatorName(m), p.accountName(m)
	c.add(p.Target, expiringAccount(name, m.Target, expiry), "deleted by the target when the pair expires")
	c.add(p.Target, roleOf(name, deploy.DefaultNamespace, rbacv1.PolicyRule{
		APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{account}, Verbs: []string{"create"},
	}), "")
	c.add(p.Target, bindingOf(name, "Role", name, deploy.DefaultNamespace), "allowed: to create tokens of "+account)
	c.add(p.Source, rotatorAccount(name), "")
	c.add(p.Source, roleOf(name, m.Source,
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{SecretName(p.Request.Name)}, Verbs: []string{"get", "update"}},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"clusterpairs"}, ResourceNames: []string{p.Request.Name}, Verbs: []string{"get"}},
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"clusterpairs/status"}, ResourceNames: []string{p.Request.Name}, Verbs: []string{"update"}},
	), "")
	c.add(p.Source, bindingOf(name, "Role", name, m.Source), "allowed: to write the pair's Secret and status")
	c.add(p.Source, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: ours(name, deploy.DefaultNamespace),
	}, "the token rotator's token, until the pair expires").secret = true
	job, err := p.rotatorJob(ctx, m)
	if err != nil && c.err == nil {
		c.err = err
		return
	}
	c.add(p.Source, job, "schedule: "+job.Spec.Schedule)
}

func rotatorAccount(name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: ours(name, deploy.DefaultNamespace),
		AutomountServiceAccountToken: new(bool),
	}
}

func roleOf(name, namespace string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"}, ObjectMeta: ours(name, namespace), Rules: rules,
	}
}

// schedule is a time in every quarter of a credential's life, at a minute that
// differs between pairs.
func schedule(ttl time.Duration, name string) string {
	quarter := ttl / 4
	if quarter < time.Hour {
		return fmt.Sprintf("*/%d * * * *", min(30, max(1, int(quarter/time.Minute))))
	}
	minute := 0
	for _, r := range name {
		minute = (minute*31 + int(r)) % 60
	}
	return fmt.Sprintf("%d */%d * * *", minute, min(12, int(quarter/time.Hour)))
}

// rotatorJob runs the plugin out of the agents' image, without any of the agents'
// rights.
func (p *Pairing) rotatorJob(ctx context.Context, m Mapping) (*batchv1.CronJob, error) {
	image, err := p.agentImage(ctx, p.Source)
	if err != nil {
		return nil, err
	}
	name := p.rotatorName(m)
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: name, AutomountServiceAccountToken: new(true),
		EnableServiceLinks: new(bool), NodeSelector: map[string]string{corev1.LabelOSStable: "linux"},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "token-rotator", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
			Command: []string{"/kubectl-motion", RotateVerb},
			Args: []string{
				"--pair=" + p.Request.Name, "--namespace=" + m.Source,
				"--account=" + p.accountName(m), "--ttl=" + p.Request.CredentialTTL.String(),
			},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(bool), ReadOnlyRootFilesystem: new(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: []corev1.VolumeMount{{Name: "rotator", MountPath: RotatorFolder, ReadOnly: true}},
		}},
		Volumes: []corev1.Volume{{Name: "rotator", VolumeSource: corev1.VolumeSource{
			Secret: &corev1.SecretVolumeSource{SecretName: name, DefaultMode: new(int32(0o440))},
		}}},
	}
	labels := map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue, "app.kubernetes.io/name": "motion-token-rotator"}
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: deploy.DefaultNamespace, Labels: labels},
		Spec: batchv1.CronJobSpec{
			Schedule: schedule(p.Request.CredentialTTL, name), ConcurrencyPolicy: batchv1.ForbidConcurrent,
			SuccessfulJobsHistoryLimit: new(int32(1)), FailedJobsHistoryLimit: new(int32(1)),
			JobTemplate: batchv1.JobTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: batchv1.JobSpec{
					BackoffLimit: new(int32(2)), ActiveDeadlineSeconds: new(int64(300)),
					Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod},
				},
			},
		},
	}, nil
}

// grantRotator gives the token rotator a token that expires with the pair, which the
// target's API server enforces.
func (p *Pairing) grantRotator(ctx context.Context, m Mapping, expiry time.Time) error {
	name := p.rotatorName(m)
	token, err := requestToken(ctx, p.Target, name, time.Until(expiry).Round(time.Second))
	if err != nil {
		return err
	}
	if short := expiry.Sub(token.ExpirationTimestamp.Time); short > time.Minute {
		progress.Warnf(p.Sink, "%s limits tokens to %s: the token rotator works until then, not until %s",
			p.Target, token.ExpirationTimestamp.UTC().Format(time.RFC3339), expiry.UTC().Format(time.RFC3339))
	}
	data, err := p.secretData(m)
	if err != nil {
		return err
	}
	data[keyToken] = []byte(token.Token)
	return p.putSecret(ctx, name, deploy.DefaultNamespace, data)
}

// rotatorStale is why the token rotator's token of an earlier run cannot stay.
func (p *Pairing) rotatorStale(ctx context.Context, m Mapping, expiry time.Time) (why string) {
	if !p.rotates() {
		return ""
	}
	secret, err := p.Source.Kube.CoreV1().Secrets(deploy.DefaultNamespace).Get(ctx, p.rotatorName(m), metav1.GetOptions{})
	if err != nil {
		return "it has no token rotator"
	}
	want, err := p.secretData(m)
	if err != nil {
		return err.Error()
	}
	claims, err := ReadClaims(string(secret.Data[keyToken]))
	if err != nil || !bytes.Equal(want[keyServer], secret.Data[keyServer]) || !bytes.Equal(want[keyCA], secret.Data[keyCA]) ||
		!bytes.Equal(want[keyNamespace], secret.Data[keyNamespace]) {
		return "the token rotator is for another server or namespace"
	}
	if off := claims.Expiry.Sub(expiry); off > time.Minute {
		return "the token rotator would outlive the pair"
	}
	if time.Until(claims.Expiry) <= 0 {
		return "the token rotator's token has expired"
	}
	return ""
}

// dropRotator removes the token rotator of an earlier run.
func (p *Pairing) dropRotator(ctx context.Context, m Mapping) error {
	for _, o := range rotatorObjects(p.Source, p.Target, m, p.rotatorName(m)) {
		err := o.delete(ctx)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s on %s: %w", o, o.on, err)
		}
	}
	return nil
}
