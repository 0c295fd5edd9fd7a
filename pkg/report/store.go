// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
)

const (
	// shardBytes is the size of the rows in one ConfigMap: a quarter of the limit
	// for an object, so that a shard is never rejected.
	shardBytes = 256 << 10
	// maxShards bounds the size of a stored report; rows beyond it are counted, and
	// are in the client's own Report.
	maxShards = 16

	labelReport = v1alpha1.GroupName + "/report"
	keyHead     = "head.json"
	keyRows     = "rows.jsonl"
)

// head is in the first shard.
type head struct {
	Summary
	Shards int `json:"shards"`
	// Dropped is the number of rows beyond maxShards.
	Dropped int `json:"dropped,omitempty"`
}

// Save stores the summary next to the Migration m, which owns it. It replaces the
// summary of an earlier run.
func Save(ctx context.Context, c *cluster.Cluster, m *v1alpha1.Migration, l Summary) error {
	shards, dropped, err := split(l.Rows, shardBytes, maxShards)
	if err != nil {
		return err
	}
	h := head{Summary: Summary{Counts: l.Counts, NotExamined: l.NotExamined}, Shards: len(shards), Dropped: dropped}
	top, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if len(shards) == 0 {
		shards = [][]byte{nil}
	}
	for i, rows := range shards {
		data := map[string]string{keyRows: string(rows)}
		if i == 0 {
			data[keyHead] = string(top)
		}
		if err := put(ctx, c, shard(m, i, data)); err != nil {
			return fmt.Errorf("saving the report of migration %s: %w", m.Name, err)
		}
	}
	return drop(ctx, c, m, len(shards))
}

// split writes rows as JSON, one a line, into shards of at most size bytes.
func split(rows []Row, size, most int) (shards [][]byte, dropped int, err error) {
	var b bytes.Buffer
	for i, row := range rows {
		line, err := json.Marshal(row)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", row.Object, err)
		}
		if b.Len() > 0 && b.Len()+len(line)+1 > size {
			shards = append(shards, slices.Clone(b.Bytes()))
			b.Reset()
		}
		if len(shards) == most {
			return shards, len(rows) - i, nil
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if b.Len() > 0 {
		shards = append(shards, b.Bytes())
	}
	return shards, 0, nil
}

// name of a shard stays within 253 bytes: a Migration's name has at most 63.
func name(migration string, i int) string {
	return "motion-report-" + migration + "-" + strconv.Itoa(i)
}

func shard(m *v1alpha1.Migration, i int, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: name(m.Name, i), Namespace: m.Namespace,
			Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedByValue,
				v1alpha1.LabelMigration: m.Name,
				labelReport:             "true",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "Migration", Name: m.Name, UID: m.UID,
			}},
		},
		Data: data,
	}
}

func put(ctx context.Context, c *cluster.Cluster, cm *corev1.ConfigMap) error {
	client := c.Kube.CoreV1().ConfigMaps(cm.Namespace)
	_, err := client.Update(ctx, cm, metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, cm, metav1.CreateOptions{FieldManager: v1alpha1.FieldManager})
	}
	return err
}

// drop deletes the shards of an earlier, longer report.
func drop(ctx context.Context, c *cluster.Cluster, m *v1alpha1.Migration, from int) error {
	for i := from; i < maxShards; i++ {
		err := c.Kube.CoreV1().ConfigMaps(m.Namespace).Delete(ctx, name(m.Name, i), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil // shards are without gaps
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Load reads the report of a migration; it is empty when none was saved. dropped
// is the number of rows that were not stored.
func Load(ctx context.Context, c *cluster.Cluster, namespace, migration string) (l Summary, dropped int, err error) {
	var h head
	for i := 0; i == 0 || i < h.Shards; i++ {
		cm, err := c.Kube.CoreV1().ConfigMaps(namespace).Get(ctx, name(migration, i), metav1.GetOptions{})
		if i == 0 && apierrors.IsNotFound(err) {
			return Summary{}, 0, nil
		}
		if err != nil {
			return Summary{}, 0, fmt.Errorf("reading the report of migration %s: %w", migration, err)
		}
		if i == 0 {
			if err := json.Unmarshal([]byte(cm.Data[keyHead]), &h); err != nil {
				return Summary{}, 0, fmt.Errorf("configmap %s/%s: the report cannot be parsed: %w", namespace, cm.Name, err)
			}
		}
		rows, err := parse([]byte(cm.Data[keyRows]))
		if err != nil {
			return Summary{}, 0, fmt.Errorf("configmap %s/%s: the report cannot be parsed: %w", namespace, cm.Name, err)
		}
		h.Rows = append(h.Rows, rows...)
	}
	return h.Summary, h.Dropped, nil
}

func parse(text []byte) ([]Row, error) {
	var out []Row
	for line := range bytes.Lines(text) {
		var r Row
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
