// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
)

func send(ctx context.Context, v View, dial Conn, st *State, o SendOptions) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

func receive(ctx context.Context, t Target, accept Conn, st *State, o ReceiveOptions) (Result, error) {
	return Result{}, errors.ErrUnsupported
}
