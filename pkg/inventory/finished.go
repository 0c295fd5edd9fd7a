// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// IsRun is true for custom resources that describe one piece of work, as workflows,
// pipeline runs, backups and training jobs do: creating one starts the work.
func (o *Object) IsRun() bool {
	if BuiltIn(o.Ref.Group) {
		return false
	}
	switch o.Ref.Kind {
	case "SparkApplication", "RayJob", "VirtualMachineInstanceMigration":
		return true
	}
	if strings.HasPrefix(o.Ref.Kind, "Cron") || strings.HasPrefix(o.Ref.Kind, "Scheduled") {
		return false
	}
	return slices.ContainsFunc([]string{"Run", "Workflow", "Job", "Backup", "Restore", "Execution", "Experiment", "Trial"}, func(suffix string) bool {
		return strings.HasSuffix(o.Ref.Kind, suffix)
	})
}

// Final is true for a custom resource whose status says that it is finished. For kinds
// that do not describe one piece of work this may be a state that is left again.
func (o *Object) Final() bool { return o.facts.final }

// finalStatus is true when the status of a custom resource has one of the well-known
// signs of an end: the time of it, a phase, or a condition.
func finalStatus(o map[string]any) bool {
	for _, f := range []string{"completionTime", "completionTimestamp", "finishedAt", "finishTime", "terminationTime"} {
		if s, _, _ := unstructured.NestedString(o, "status", f); s != "" {
			return true
		}
	}
	for _, path := range [][]string{{"phase"}, {"state"}, {"jobStatus"}, {"applicationState", "state"}, {"state", "phase"}} {
		s, _, _ := unstructured.NestedString(o, append([]string{"status"}, path...)...)
		if finalPhase(s) {
			return true
		}
	}
	return slices.ContainsFunc(elements(o, "status", "conditions"), func(c map[string]any) bool {
		switch c["type"] {
		case "Succeeded":
			return c["status"] == "True" || c["status"] == "False"
		case "Complete", "Completed", "Finished", "Failed":
			return c["status"] == "True"
		}
		return false
	})
}

func finalPhase(s string) bool {
	switch strings.ToLower(s) {
	case "succeeded", "complete", "completed", "finished", "failed", "error", "partiallyfailed", "failedvalidation",
		"cancelled", "canceled", "aborted", "stopped", "terminated":
		return true
	}
	return false
}
