// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package device lets the agent read and write raw block volumes without being
// privileged.
//
// Linux lets a container open only the devices that its cgroup names, and the only
// way to name more in a pod's spec is `privileged`. The agent talks to other
// clusters and must not be that. So opening is done by a second container of the
// agent's pod (`motion-agent devices`), which an administrator adds by
// `kubectl motion pair --block-devices`: it is privileged, gives up every capability
// before it begins, has nothing but the kubelet's plugins folder, and does one
// thing: for the name of a volume and the UID of a pod it opens the device that the
// kubelet mapped under these two names, and hands the open descriptor through a
// socket that both containers share. An attacker who took over the agent would reach with
// it the raw block volumes of pods on this node, as it reaches their other volumes
// anyway, and no disk of the node.
//
// The device cgroup is asked when a device is opened, not when it is read: the
// descriptor works in the unprivileged container.
//
// One exchange is one connection: a request of one packet, an answer of one packet
// that carries the descriptors. The socket is a file of an emptyDir that no other
// pod mounts.
package device

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kubectl-motion/kubectl-motion/pkg/agent/fault"
	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// DefaultSocket is where the two containers meet.
const DefaultSocket = "/run/kubectl-motion/devices.sock"

// maxPacket bounds a request and an answer without its descriptors.
const maxPacket = 4 << 10

// request asks for the device of a volume.
type request struct {
	Volume string `json:"volume"`
	PodUID string `json:"podUID"`
	Write  bool   `json:"write"`
}

// answer comes with two descriptors, through the page cache and past it, or with an
// error.
type answer struct {
	Major  uint32 `json:"major"`
	Minor  uint32 `json:"minor"`
	Reason string `json:"reason,omitempty"`
	Error  string `json:"error,omitempty"`
}

func refusal(err error) answer {
	return answer{Reason: fault.Reason(err), Error: fault.Message(err)}
}

// err is the refusal's error, with its reason.
func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	return fault.New(a.Reason, "%w", errors.New(a.Error))
}

func decode(packet []byte, into any) error {
	if err := json.Unmarshal(packet, into); err != nil {
		return fmt.Errorf("malformed packet: %w", err)
	}
	return nil
}

// off is the error of an agent without the second container.
func off(err error) error {
	return fault.New(v1alpha1.ReasonBlockDevicesDisabled,
		"raw block volumes are disabled on this cluster: ask an administrator to run: kubectl motion pair --block-devices (%w)", err)
}
