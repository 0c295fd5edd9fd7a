// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package csi

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	spec "github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Parameters of StorageClasses.
const (
	// freezeParameter "true": snapshots are of a frozen filesystem.
	freezeParameter = "freeze"
	// minimumParameter is the smallest volume that the class makes.
	minimumParameter = "minimum"
)

// smallest is what an ext4 needs.
const smallest = 16 << 20

// ControllerGetCapabilities lists what the controller can do.
func (d *driver) ControllerGetCapabilities(context.Context, *spec.ControllerGetCapabilitiesRequest) (*spec.ControllerGetCapabilitiesResponse, error) {
	out := &spec.ControllerGetCapabilitiesResponse{}
	for _, t := range []spec.ControllerServiceCapability_RPC_Type{
		spec.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		spec.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT,
		spec.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
		spec.ControllerServiceCapability_RPC_CLONE_VOLUME,
	} {
		out.Capabilities = append(out.Capabilities, &spec.ControllerServiceCapability{
			Type: &spec.ControllerServiceCapability_Rpc{Rpc: &spec.ControllerServiceCapability_RPC{Type: t}},
		})
	}
	return out, nil
}

// CreateVolume makes an empty volume, one from a snapshot, or a clone.
func (d *driver) CreateVolume(_ context.Context, r *spec.CreateVolumeRequest) (*spec.CreateVolumeResponse, error) {
	k := disk{Freeze: r.GetParameters()[freezeParameter] == "true", Size: max(r.GetCapacityRange().GetRequiredBytes(), smallest)}
	for _, c := range r.GetVolumeCapabilities() {
		k.Block = k.Block || c.GetBlock() != nil
		switch c.GetAccessMode().GetMode() {
		case spec.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER, spec.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY:
			return nil, status.Error(codes.InvalidArgument, "a volume of one node cannot be ReadWriteMany or ReadOnlyMany")
		}
	}
	if text := r.GetParameters()[minimumParameter]; text != "" {
		minimum, err := resource.ParseQuantity(text)
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "parameter %s: %v", minimumParameter, err)
		}
		k.Size = max(k.Size, minimum.Value())
	}
	id := r.GetName()
	from := r.GetVolumeContentSource().GetSnapshot().GetSnapshotId() + r.GetVolumeContentSource().GetVolume().GetVolumeId()
	if have, err := d.disks.read(id); err == nil {
		k = have
	} else if err := d.make(id, k, from); err != nil {
		return nil, err
	}
	return &spec.CreateVolumeResponse{Volume: &spec.Volume{
		VolumeId: id, CapacityBytes: k.Size, ContentSource: r.GetVolumeContentSource(),
		AccessibleTopology: []*spec.Topology{{Segments: map[string]string{Topology: d.node}}},
	}}, nil
}

func (d *driver) make(id string, k disk, from string) error {
	grows := false
	if from != "" {
		source, err := d.disks.read(from)
		switch {
		case errors.Is(err, errNoDisk):
			return status.Errorf(codes.ResourceExhausted, "%v", err) // perhaps another node has it
		case err != nil:
			return err
		case source.Block != k.Block:
			return status.Error(codes.InvalidArgument, "the source has another volume mode")
		case source.Size > k.Size:
			return status.Errorf(codes.OutOfRange, "the source has %d bytes, the volume is to have %d", source.Size, k.Size)
		}
		grows = source.Size < k.Size && !k.Block
	}
	if err := d.disks.create(id, k, from); err != nil || !grows {
		return err
	}
	return growImage(d.disks.image(id))
}

// DeleteVolume removes a volume.
func (d *driver) DeleteVolume(_ context.Context, r *spec.DeleteVolumeRequest) (*spec.DeleteVolumeResponse, error) {
	return &spec.DeleteVolumeResponse{}, d.disks.remove(r.GetVolumeId())
}

// CreateSnapshot takes a reflink of the volume's image, the filesystem frozen or not.
func (d *driver) CreateSnapshot(_ context.Context, r *spec.CreateSnapshotRequest) (*spec.CreateSnapshotResponse, error) {
	id, source := strings.ToLower(r.GetName()), r.GetSourceVolumeId()
	if have, err := d.disks.read(id); err == nil {
		return &spec.CreateSnapshotResponse{Snapshot: snapshot(id, have)}, nil
	}
	// For tests of what a driver's error looks like to a user.
	if why, err := os.ReadFile(d.disks.root + "/fail-snapshots"); err == nil {
		return nil, status.Error(codes.ResourceExhausted, strings.TrimSpace(string(why)))
	}
	k, err := d.disks.read(source)
	if err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	take := func() error { return reflink(d.disks.image(source), d.disks.image(id)) }
	if k.Freeze && k.Mount != "" {
		err = freezing(k.Mount, take)
	} else {
		err = take()
	}
	if err != nil {
		return nil, err
	}
	k.Source, k.Mount, k.Taken = source, "", time.Now()
	if err := d.disks.write(id, k); err != nil {
		return nil, err
	}
	return &spec.CreateSnapshotResponse{Snapshot: snapshot(id, k)}, nil
}

func snapshot(id string, k disk) *spec.Snapshot {
	return &spec.Snapshot{
		SnapshotId: id, SourceVolumeId: k.Source, SizeBytes: k.Size, ReadyToUse: true, CreationTime: timestamppb.New(k.Taken),
	}
}

// DeleteSnapshot removes a snapshot; volumes made from it are on their own.
func (d *driver) DeleteSnapshot(_ context.Context, r *spec.DeleteSnapshotRequest) (*spec.DeleteSnapshotResponse, error) {
	return &spec.DeleteSnapshotResponse{}, d.disks.remove(r.GetSnapshotId())
}

// ListSnapshots lists the one that is asked for, or all of this node.
func (d *driver) ListSnapshots(_ context.Context, r *spec.ListSnapshotsRequest) (*spec.ListSnapshotsResponse, error) {
	out := &spec.ListSnapshotsResponse{}
	entries, err := os.ReadDir(d.disks.root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		id, isDescription := strings.CutSuffix(e.Name(), ".json")
		k, err := d.disks.read(id)
		switch {
		case !isDescription || err != nil || k.Source == "":
		case r.GetSnapshotId() != "" && r.GetSnapshotId() != id:
		case r.GetSourceVolumeId() != "" && r.GetSourceVolumeId() != k.Source:
		default:
			out.Entries = append(out.Entries, &spec.ListSnapshotsResponse_Entry{Snapshot: snapshot(id, k)})
		}
	}
	return out, nil
}

// ValidateVolumeCapabilities confirms what CreateVolume would take.
func (d *driver) ValidateVolumeCapabilities(_ context.Context, r *spec.ValidateVolumeCapabilitiesRequest) (*spec.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := d.disks.read(r.GetVolumeId()); err != nil {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	return &spec.ValidateVolumeCapabilitiesResponse{Confirmed: &spec.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: r.GetVolumeCapabilities(),
	}}, nil
}
