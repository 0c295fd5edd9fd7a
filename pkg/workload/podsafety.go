// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// checkRestorable fails for a bare pod that a rollback must not create.
//
// The manifest of a stopped bare pod is in the status of the Migration, which users of
// the namespace can write, and an administrator may run the rollback. So only pods
// without privileges over their node are created from it: those are what every user with
// the right to create pods in the namespace could create under Pod Security "baseline".
// The same check runs before the stop, so that a pod it rejects is never deleted.
func checkRestorable(pod *unstructured.Unstructured) error {
	raw, err := json.Marshal(pod.Object)
	if err != nil {
		return err
	}
	var p corev1.Pod
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if why := privilege(&p); why != "" {
		return fmt.Errorf("pod %s has no controller and %s: kubectl-motion does not create such a pod from the status of a Migration; "+
			"give it a controller, or delete it before the cutover", p.Name, why)
	}
	return nil
}

// privilege returns the first property of the pod that gives it power over its node
// (Pod Security "baseline"), "" if there is none.
func privilege(p *corev1.Pod) string {
	s := &p.Spec
	switch {
	case s.HostNetwork || s.HostPID || s.HostIPC:
		return "uses a namespace of the host"
	case s.NodeName != "":
		return "names its node, past the scheduler"
	}
	if c := s.SecurityContext; c != nil {
		switch {
		case len(c.Sysctls) > 0:
			return "sets sysctls"
		case unconfined(c.SeccompProfile, c.AppArmorProfile) || c.SELinuxOptions != nil && (c.SELinuxOptions.User != "" || c.SELinuxOptions.Role != ""):
			return "is not confined"
		}
	}
	for _, v := range s.Volumes {
		if v.HostPath != nil {
			return "mounts a path of the host"
		}
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		if slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 }) {
			return "uses a port of the host"
		}
		if why := containerPrivilege(c.SecurityContext); why != "" {
			return why
		}
	}
	return ""
}

// baselineCapabilities are those that Pod Security "baseline" allows to add.
var baselineCapabilities = []corev1.Capability{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

func containerPrivilege(c *corev1.SecurityContext) string {
	switch {
	case c == nil:
		return ""
	case c.Privileged != nil && *c.Privileged:
		return "is privileged"
	case c.ProcMount != nil && *c.ProcMount != corev1.DefaultProcMount:
		return "has an unmasked /proc"
	case unconfined(c.SeccompProfile, c.AppArmorProfile), c.SELinuxOptions != nil && (c.SELinuxOptions.User != "" || c.SELinuxOptions.Role != ""):
		return "is not confined"
	case c.WindowsOptions != nil && c.WindowsOptions.HostProcess != nil && *c.WindowsOptions.HostProcess:
		return "is a process of the host"
	case c.Capabilities != nil && slices.ContainsFunc(c.Capabilities.Add, func(a corev1.Capability) bool { return !slices.Contains(baselineCapabilities, a) }):
		return "adds capabilities"
	}
	return ""
}

func unconfined(seccomp *corev1.SeccompProfile, appArmor *corev1.AppArmorProfile) bool {
	return seccomp != nil && seccomp.Type == corev1.SeccompProfileTypeUnconfined ||
		appArmor != nil && appArmor.Type == corev1.AppArmorProfileTypeUnconfined
}
