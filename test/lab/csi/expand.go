// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// tryAgain is how often claims that did not grow are looked at again.
const tryAgain = 5 * time.Second

// expander grows the volumes of claims that ask for more than they have, as external-resizer would. A raw block volume
// grows while it is in use. An ext4 does where the machine grants CAP_SYS_RESOURCE, and else when it is mounted the next
// time: NodeStageVolume looks, too.
func (p *provisioner) expander(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(p.client, tryAgain)
	look := func(o any) {
		if claim, ok := o.(*corev1.PersistentVolumeClaim); ok {
			if err := p.expand(ctx, claim); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "PVC %s/%s cannot be expanded: %v\n", claim.Namespace, claim.Name, err)
			}
		}
	}
	_, err := factory.Core().V1().PersistentVolumeClaims().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: look, UpdateFunc: func(_, o any) { look(o) },
	})
	if err == nil {
		factory.Start(ctx.Done())
	}
	return err
}

func (p *provisioner) expand(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	asked, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if claim.Status.Phase != corev1.ClaimBound || has.Cmp(asked) >= 0 {
		return nil
	}
	pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, metav1.GetOptions{})
	if err != nil || pv.Spec.CSI == nil || pv.Spec.CSI.Driver != Driver || pv.Annotations[onNode] != p.driver.node {
		return err
	}
	p.driver.mu.Lock()
	size, err := p.driver.grow(pv.Spec.CSI.VolumeHandle, asked.Value())
	p.driver.mu.Unlock()
	if err != nil {
		return err
	}
	now := resource.NewQuantity(size, resource.BinarySI).String()
	// The claim first: the kubelet takes a volume that has more than its claim for one that it is to grow.
	status := fmt.Appendf(nil, `{"status":{"capacity":{"storage":%q}}}`, now)
	_, err = p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	capacity := fmt.Appendf(nil, `{"spec":{"capacity":{"storage":%q}}}`, now)
	_, err = p.client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, capacity, metav1.PatchOptions{})
	return err
}

// growStaged grows a volume to what its claim asks for, before it is mounted.
func (p *provisioner) growStaged(ctx context.Context, id string) error {
	pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, id, metav1.GetOptions{})
	if err != nil || pv.Spec.ClaimRef == nil {
		return err
	}
	claim, err := p.client.CoreV1().PersistentVolumeClaims(pv.Spec.ClaimRef.Namespace).Get(ctx, pv.Spec.ClaimRef.Name, metav1.GetOptions{})
	if err != nil || claim.UID != pv.Spec.ClaimRef.UID {
		return err
	}
	_, err = p.driver.grow(id, claim.Spec.Resources.Requests.Storage().Value())
	return err
}

// grow makes a volume's image at least size bytes long, and what is in it with it. It returns the size. The caller
// holds mu.
func (d *driver) grow(id string, size int64) (int64, error) {
	k, err := d.disks.read(id)
	if err != nil || k.Size >= size {
		return k.Size, err
	}
	k.Size = size
	if err := run("truncate", "-s", fmt.Sprint(k.Size), d.disks.image(id)); err != nil {
		return 0, err
	}
	have := d.held[id]
	switch {
	case have != nil:
		err = refit(have.device)
	case k.Block:
	case k.Mount != "":
		err = growMounted(k.Mount)
	default:
		err = growImage(d.disks.image(id))
	}
	if err != nil {
		return 0, err
	}
	return k.Size, d.disks.write(id, k)
}

// growImage grows the ext4 of an unmounted image to the image's size.
func growImage(image string) error {
	var exit *exec.ExitError
	out, err := exec.Command("e2fsck", "-f", "-p", image).CombinedOutput()
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) { // 1: it has mended what a crash leaves
		return fmt.Errorf("e2fsck %s: %w: %s", image, err, out)
	}
	return run("resize2fs", image)
}

// refit makes a loop device notice that its image has grown.
func refit(device *os.File) error {
	if err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY, 0); err != nil {
		return fmt.Errorf("capacity of %s: %w", device.Name(), err)
	}
	return nil
}

// growMounted grows the ext4 that is mounted at a place.
func growMounted(at string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != at {
			continue
		}
		device, err := os.OpenFile(f[0], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer device.Close()
		if err := refit(device); err != nil {
			return err
		}
		return run("resize2fs", device.Name())
	}
	return fmt.Errorf("nothing is mounted at %s", at)
}
