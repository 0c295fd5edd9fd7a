// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Package apply puts objects on a cluster, and waits until they are ready.
//
//	Apply      server-side apply in order of dependency, to a fixed point
//	HandOver   gives up the ownership of an object's fields
//	WaitReady  until every object is what kstatus calls current
//
// Writes are server-side apply under the field manager kubectl-motion. A field
// that another manager owns with another value is a conflict: it is reported per
// field and forced only when asked. An apply that changes nothing does not
// change the object's resourceVersion, so running twice leaves no trace.
//
// Nothing is deleted here, and nothing is replaced: a change that the API calls
// immutable fails, unless Options.Recreate consents for the kinds where the
// object is nothing but its content.
package apply
