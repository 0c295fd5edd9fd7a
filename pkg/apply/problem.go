// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-motion/kubectl-motion/pkg/api/v1alpha1"
)

// Cause says why a write was refused, from a closed set.
type Cause string

const (
	// CauseConflict: another field manager owns fields with other values.
	CauseConflict Cause = "Conflict"
	// CauseNotPermitted: RBAC does not let the user write the object.
	CauseNotPermitted Cause = "NotPermitted"
	// CauseQuota: a ResourceQuota of the target is exhausted.
	CauseQuota Cause = "Quota"
	// CauseDenied: an admission plugin, policy or webhook refused it.
	CauseDenied Cause = "Denied"
	// CauseImmutable: the change touches a field that cannot change.
	CauseImmutable Cause = "Immutable"
	// CauseFields: the target does not know some of the fields.
	CauseFields Cause = "UnknownFields"
	// CauseInvalid: the target's validation refused it.
	CauseInvalid Cause = "Invalid"
	// CauseMissing: the kind, or the namespace, is not there.
	CauseMissing Cause = "Missing"
	// CauseOther: anything else, most likely the way to the server.
	CauseOther Cause = "Other"
)

// Problem is a refused write.
type Problem struct {
	Cause Cause `json:"cause"`
	// Message is the server's, in one line.
	Message string `json:"message"`
	// Conflicts are the fields that others own, when Cause is CauseConflict.
	Conflicts []Conflict `json:"conflicts,omitempty"`
	// Fields that the target does not know, when Cause is CauseFields.
	Fields []string `json:"fields,omitempty"`
}

// Conflict is one field that another manager owns.
type Conflict struct {
	Field   string `json:"field"`
	Manager string `json:"manager"`
}

// Error is for people.
func (p *Problem) Error() string {
	if p.Cause != CauseConflict {
		return p.Message
	}
	var b strings.Builder
	for i, c := range p.Conflicts {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s is owned by %s", c.Field, c.Manager)
	}
	return b.String()
}

// withOurselves says whether all conflicts are with our own field manager.
func (p *Problem) withOurselves() bool {
	return !slices.ContainsFunc(p.Conflicts, func(c Conflict) bool { return c.Manager != v1alpha1.FieldManager })
}

// Explain sorts the error of a write. It returns nil for nil.
func Explain(err error) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Cause: CauseOther, Message: oneLine(err.Error())}
	status := apierrors.APIStatus(nil)
	if !errors.As(err, &status) {
		return p
	}
	switch {
	case apierrors.IsConflict(err):
		p.Conflicts = conflicts(status)
		if len(p.Conflicts) > 0 {
			p.Cause = CauseConflict
		}
	case apierrors.IsForbidden(err):
		p.Cause = forbidden(p.Message)
	case apierrors.IsInvalid(err):
		p.Cause = invalid(p.Message)
	case apierrors.IsBadRequest(err):
		p.Cause = CauseInvalid
		if p.Fields = unknownFields(p.Message); len(p.Fields) > 0 {
			p.Cause = CauseFields
		}
	case apierrors.IsNotFound(err):
		p.Cause = CauseMissing
	default:
		// Server-side apply answers with an internal error when a field is not in
		// the schema.
		if p.Fields = unknownFields(p.Message); len(p.Fields) > 0 {
			p.Cause = CauseFields
		}
	}
	return p
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// conflicts reads the causes of a server-side apply conflict; the manager is in
// quotes in the cause's message.
func conflicts(s apierrors.APIStatus) []Conflict {
	details := s.Status().Details
	if details == nil {
		return nil
	}
	var out []Conflict
	for _, c := range details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := c.Message
		if parts := strings.SplitN(c.Message, `"`, 3); len(parts) == 3 {
			manager = parts[1]
		}
		out = append(out, Conflict{Field: strings.TrimPrefix(c.Field, "."), Manager: manager})
	}
	return out
}

// rbacDenied is how the API server words its own authorization, in contrast to
// admission plugins, which answer with the same code.
var rbacDenied = regexp.MustCompile(`User "[^"]*" cannot |attempting to grant RBAC permissions|user "[^"]*" \(groups=.*\) is attempting to grant`)

func forbidden(message string) Cause {
	switch {
	case rbacDenied.MatchString(message):
		return CauseNotPermitted
	case strings.Contains(message, "exceeded quota"), strings.Contains(message, "failed quota"):
		return CauseQuota
	}
	return CauseDenied
}

func invalid(message string) Cause {
	for _, word := range []string{"is immutable", "updates to statefulset spec", "field is immutable", "may not change once set", "pod updates may not change", "is forbidden after creation", "can not be unset", "must not be changed"} {
		if strings.Contains(message, word) {
			return CauseImmutable
		}
	}
	return CauseInvalid
}

// unknownField is how strict validation names a field.
var unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)

func unknownFields(message string) []string {
	var out []string
	for _, m := range unknownField.FindAllStringSubmatch(message, -1) {
		out = append(out, m[1])
	}
	// Server-side apply finds them on its own way: .spec.x: field not declared in schema
	for _, m := range undeclared.FindAllStringSubmatch(message, -1) {
		out = append(out, strings.TrimPrefix(m[1], "."))
	}
	return out
}

var undeclared = regexp.MustCompile(`(\.\S+): field not declared in schema`)
