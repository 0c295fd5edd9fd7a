// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package pair

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-motion/kubectl-motion/deploy"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

// RotateNow runs the token rotator of a pair now, as an administrator of the source
// alone, and waits for it.
func RotateNow(ctx context.Context, source *cluster.Cluster, namespace, name string) error {
	rotator := RotatorName(source.ID, namespace, name)
	cron, err := source.Kube.BatchV1().CronJobs(deploy.DefaultNamespace).Get(ctx, rotator, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("pair %s/%s on %s has no token rotator: use --to-context", namespace, name, source)
	}
	if err != nil {
		return fmt.Errorf("cronjob %s/%s on %s: %w", deploy.DefaultNamespace, rotator, source, err)
	}
	jobs := source.Kube.BatchV1().Jobs(deploy.DefaultNamespace)
	// A person waits: report the first failure.
	spec := *cron.Spec.JobTemplate.Spec.DeepCopy()
	spec.BackoffLimit = new(int32)
	job, err := jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: rotator + "-now-", Namespace: deploy.DefaultNamespace, Labels: cron.Spec.JobTemplate.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
		},
		Spec: spec,
	}, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	if err != nil {
		return fmt.Errorf("job of cronjob %s/%s on %s: %w", deploy.DefaultNamespace, rotator, source, err)
	}
	err = wait.PollUntilContextCancel(ctx, agentPoll, true, func(ctx context.Context) (bool, error) {
		if job, err = jobs.Get(ctx, job.Name, metav1.GetOptions{}); err != nil {
			return false, err
		}
		return job.Status.Succeeded > 0 || failed(job), nil
	})
	if err != nil {
		return fmt.Errorf("job %s/%s on %s: %w", deploy.DefaultNamespace, job.Name, source, err)
	}
	if failed(job) {
		return fmt.Errorf("job %s/%s on %s failed: %s", deploy.DefaultNamespace, job.Name, source, logOfLastPod(ctx, source, job))
	}
	return nil
}

func failed(job *batchv1.Job) bool {
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}

// logOfLastPod is what the last pod of a job logged.
func logOfLastPod(ctx context.Context, c *cluster.Cluster, job *batchv1.Job) string {
	pods, err := c.Kube.CoreV1().Pods(job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
	if err != nil || len(pods.Items) == 0 {
		return "it has no pods"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := c.Kube.CoreV1().Pods(job.Namespace).GetLogs(pods.Items[len(pods.Items)-1].Name, &corev1.PodLogOptions{}).Stream(ctx)
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
