// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NodeGetInfo says which node this is.
func (d *driver) NodeGetInfo(context.Context, *spec.NodeGetInfoRequest) (*spec.NodeGetInfoResponse, error) {
	return &spec.NodeGetInfoResponse{
		NodeId: d.node, AccessibleTopology: &spec.Topology{Segments: map[string]string{Topology: d.node}},
	}, nil
}

// NodeGetCapabilities lists what the node's side can do.
func (d *driver) NodeGetCapabilities(context.Context, *spec.NodeGetCapabilitiesRequest) (*spec.NodeGetCapabilitiesResponse, error) {
	out := &spec.NodeGetCapabilitiesResponse{}
	for _, t := range []spec.NodeServiceCapability_RPC_Type{
		spec.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		spec.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		out.Capabilities = append(out.Capabilities, &spec.NodeServiceCapability{
			Type: &spec.NodeServiceCapability_Rpc{Rpc: &spec.NodeServiceCapability_RPC{Type: t}},
		})
	}
	return out, nil
}

// NodeStageVolume mounts a filesystem once for all pods of the node. A volume whose claim has grown is grown before.
func (d *driver) NodeStageVolume(ctx context.Context, r *spec.NodeStageVolumeRequest) (*spec.NodeStageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k, err := d.disks.read(r.GetVolumeId())
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	at := r.GetStagingTargetPath()
	if k.Block || mounted(at) {
		return &spec.NodeStageVolumeResponse{}, nil
	}
	if err := d.growStaged(ctx, r.GetVolumeId()); err != nil {
		return nil, err
	}
	if k, err = d.disks.read(r.GetVolumeId()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(at, 0o750); err != nil {
		return nil, err
	}
	device, err := attach(d.disks.image(r.GetVolumeId()))
	if err != nil {
		return nil, err
	}
	defer device.Close() // the mount keeps it
	if err := unix.Mount(device.Name(), at, "ext4", 0, ""); err != nil {
		return nil, status.Errorf(codes.Internal, "mount %s: %v", r.GetVolumeId(), err)
	}
	if k.New { // everybody may write, as in the folders of the other classes
		if err := os.Chmod(at, 0o777); err != nil {
			return nil, err
		}
	}
	k.Mount, k.New = at, false
	return &spec.NodeStageVolumeResponse{}, d.disks.write(r.GetVolumeId(), k)
}

// NodeUnstageVolume unmounts it.
func (d *driver) NodeUnstageVolume(_ context.Context, r *spec.NodeUnstageVolumeRequest) (*spec.NodeUnstageVolumeResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := unmount(r.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	k, err := d.disks.read(r.GetVolumeId())
	if err != nil || k.Mount == "" {
		return &spec.NodeUnstageVolumeResponse{}, nil
	}
	k.Mount = ""
	return &spec.NodeUnstageVolumeResponse{}, d.disks.write(r.GetVolumeId(), k)
}

// NodePublishVolume gives a pod the filesystem, or the device.
func (d *driver) NodePublishVolume(_ context.Context, r *spec.NodePublishVolumeRequest) (*spec.NodePublishVolumeResponse, error) {
	at := r.GetTargetPath()
	if mounted(at) {
		return &spec.NodePublishVolumeResponse{}, nil
	}
	if err := os.MkdirAll(filepath.Dir(at), 0o750); err != nil {
		return nil, err
	}
	from := r.GetStagingTargetPath()
	if r.GetVolumeCapability().GetBlock() != nil {
		device, err := d.hold(r.GetVolumeId(), at)
		if err != nil {
			return nil, err
		}
		from = device
		file, err := os.OpenFile(at, os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		file.Close()
	} else if err := os.MkdirAll(at, 0o750); err != nil {
		return nil, err
	}
	if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
		return nil, status.Errorf(codes.Internal, "bind %s to %s: %v", from, at, err)
	}
	if r.GetReadonly() {
		if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return nil, errors.Join(err, unix.Unmount(at, 0))
		}
	}
	return &spec.NodePublishVolumeResponse{}, nil
}

// hold returns the device of a block volume, one for all pods.
func (d *driver) hold(id, at string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.held[id]; have != nil {
		have.at[at] = true
		return have.device.Name(), nil
	}
	if _, err := d.disks.read(id); err != nil {
		return "", status.Error(codes.NotFound, err.Error())
	}
	device, err := attach(d.disks.image(id))
	if err != nil {
		return "", err
	}
	d.held[id] = &loop{device: device, at: map[string]bool{at: true}}
	return device.Name(), nil
}

// NodeUnpublishVolume takes it back.
func (d *driver) NodeUnpublishVolume(_ context.Context, r *spec.NodeUnpublishVolumeRequest) (*spec.NodeUnpublishVolumeResponse, error) {
	if err := unmount(r.GetTargetPath()); err != nil {
		return nil, err
	}
	if err := os.Remove(r.GetTargetPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if have := d.held[r.GetVolumeId()]; have != nil {
		delete(have.at, r.GetTargetPath())
		if len(have.at) == 0 {
			have.device.Close()
			delete(d.held, r.GetVolumeId())
		}
	}
	return &spec.NodeUnpublishVolumeResponse{}, nil
}

// mounted says whether something is mounted right at path.
func mounted(path string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, 0, &st)
	return err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

func unmount(path string) error {
	for mounted(path) {
		if err := unix.Unmount(path, unix.UMOUNT_NOFOLLOW); err != nil {
			return status.Errorf(codes.Internal, "unmount %s: %v", path, err)
		}
	}
	return nil
}
