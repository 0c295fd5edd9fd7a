// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestRetryOnConflict(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "x", errors.New("changed"))
	for name, c := range map[string]struct {
		answers []error
		want    error
	}{
		"a write that succeeds":            {[]error{nil}, nil},
		"a conflict, then success":         {[]error{conflict, nil}, nil},
		"a context that was cancelled":     {[]error{fmt.Errorf("write: %w", context.Canceled)}, context.Canceled},
		"a context that expired":           {[]error{conflict, context.DeadlineExceeded}, context.DeadlineExceeded},
		"an error that is not a conflict":  {[]error{errors.ErrUnsupported}, errors.ErrUnsupported},
		"conflicts until the back-off end": {[]error{conflict, conflict, conflict, conflict, conflict, conflict}, conflict},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			err := RetryOnConflict(func() error {
				n++
				return c.answers[min(n, len(c.answers))-1]
			})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}
