// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-motion/kubectl-motion/pkg/cluster"
	"github.com/kubectl-motion/kubectl-motion/pkg/inventory"
)

// target is as much of an API server as package apply talks to: it keeps the
// resourceVersion of each object by its path, and notes what was asked of it.
type target struct {
	t  *testing.T
	mu sync.Mutex
	// objects by path, with their resourceVersion.
	objects map[string]string
	// needs names, by path, what must be there before an object is accepted.
	needs map[string]string
	// written are the paths that were written, in order; deleted the bodies of
	// deletions.
	written []string
	deleted map[string]metav1.DeleteOptions
	strict  []string
}

func newTarget(t *testing.T) (*target, *cluster.Cluster) {
	t.Helper()
	s := &target{t: t, objects: map[string]string{}, needs: map[string]string{}, deleted: map[string]metav1.DeleteOptions{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, &cluster.Cluster{Name: "target", Config: &rest.Config{Host: server.URL, QPS: -1}}
}

func (s *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPatch:
		s.strict = append(s.strict, r.URL.Query().Get("fieldValidation"))
		if need := s.needs[r.URL.Path]; need != "" && s.objects[need] == "" {
			answer(w, http.StatusUnprocessableEntity, metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status:   metav1.StatusFailure, Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity, Message: need + " is not there",
			})
			return
		}
		s.written = append(s.written, r.URL.Path)
		s.objects[r.URL.Path] = fmt.Sprint(len(s.written))
		s.one(w, r.URL.Path)
	case http.MethodGet:
		s.list(w, r.URL.Path)
	case http.MethodDelete:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			s.t.Error(err)
		}
		opts := metav1.DeleteOptions{}
		if err := json.Unmarshal(body, &opts); err != nil {
			s.t.Errorf("DELETE %s: %v", r.URL.Path, err)
		}
		s.deleted[r.URL.Path] = opts
		delete(s.objects, r.URL.Path)
		answer(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	default:
		s.t.Errorf("unexpected %s %s", r.Method, r.URL.Path)
	}
}

func (s *target) metadata(path string) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{Name: path[strings.LastIndex(path, "/")+1:], Namespace: "shop", ResourceVersion: s.objects[path]},
	}
}

func (s *target) one(w http.ResponseWriter, path string) {
	answer(w, http.StatusOK, s.metadata(path))
}

func (s *target) list(w http.ResponseWriter, path string) {
	list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}}
	for p := range s.objects {
		if strings.HasPrefix(p, path+"/") {
			list.Items = append(list.Items, s.metadata(p))
		}
	}
	answer(w, http.StatusOK, list)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func wanted(group, resource, kind, name string) Object {
	return Object{Ref: inventory.Ref{Group: group, Version: "v1", Resource: resource, Kind: kind, Namespace: "shop", Name: name}, JSON: []byte("{}")}
}

func pathOf(o Object) string {
	root := "/apis/" + o.Ref.Group
	if o.Ref.Group == "" {
		root = "/api"
	}
	return root + "/v1/namespaces/shop/" + o.Ref.Resource + "/" + o.Ref.Name
}

// TestObjectsAreWrittenInTheOrderOfWhatTheyNeed: whatever the order they come in,
// a policy that restricts traffic is there before what it restricts.
func TestObjectsAreWrittenInTheOrderOfWhatTheyNeed(t *testing.T) {
	s, c := newTarget(t)
	order := []Object{
		wanted("rbac.authorization.k8s.io", "roles", "Role", "a"),
		wanted("", "secrets", "Secret", "a"),
		wanted("", "persistentvolumeclaims", "PersistentVolumeClaim", "a"),
		wanted("", "services", "Service", "a"),
		wanted("networking.k8s.io", "networkpolicies", "NetworkPolicy", "a"),
		wanted("apps", "deployments", "Deployment", "a"),
		wanted("", "resourcequotas", "ResourceQuota", "a"),
	}
	var want []string
	for _, o := range order {
		want = append(want, pathOf(o))
	}
	backward := slices.Clone(order)
	slices.Reverse(backward)
	set, err := Apply(t.Context(), c, backward, Options{})
	if err != nil || set.Err() != nil || set.Count(Created) != len(order) {
		t.Fatalf("%+v %v", set, err)
	}
	if !slices.Equal(s.written, want) {
		t.Errorf("written in the order\n%s\nwant\n%s", strings.Join(s.written, "\n"), strings.Join(want, "\n"))
	}
}

// TestWhatFailedIsTriedAgainUntilAPassBringsNothingMore: an object may need one
// that no order knows of, and that one another.
func TestWhatFailedIsTriedAgainUntilAPassBringsNothingMore(t *testing.T) {
	s, c := newTarget(t)
	x, y, z := wanted("example.com", "widgets", "Widget", "x"), wanted("", "resourcequotas", "ResourceQuota", "y"), wanted("", "secrets", "Secret", "z")
	never := wanted("", "configmaps", "ConfigMap", "never")
	s.needs[pathOf(z)], s.needs[pathOf(x)], s.needs[pathOf(never)] = pathOf(x), pathOf(y), "/nowhere"
	set, err := Apply(t.Context(), c, []Object{x, y, z, never}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{pathOf(y), pathOf(x), pathOf(z)}; !slices.Equal(s.written, want) {
		t.Errorf("written %q, want %q", s.written, want)
	}
	if set.Count(Created) != 3 || set.Count(Failed) != 1 || set.Err() == nil || !strings.Contains(set.Err().Error(), "configmap/never: ") {
		t.Errorf("%+v", set)
	}
}

// TestWhatThePlanFoundTheSameIsNotWritten, unless it has changed since.
func TestWhatThePlanFoundTheSameIsNotWritten(t *testing.T) {
	s, c := newTarget(t)
	same, moved := wanted("", "configmaps", "ConfigMap", "same"), wanted("", "configmaps", "ConfigMap", "moved")
	s.objects[pathOf(same)], s.objects[pathOf(moved)] = "7", "9"
	same.Same, moved.Same = "7", "8"
	set, err := Apply(t.Context(), c, []Object{same, moved}, Options{})
	if err != nil || set.Err() != nil {
		t.Fatal(err, set.Err())
	}
	if !slices.Equal(s.written, []string{pathOf(moved)}) || set.Count(Unchanged) != 1 || set.Count(Configured) != 1 {
		t.Errorf("written %q, outcome %+v", s.written, set)
	}
}

// TestAPrunedObjectIsTheOneThatWasDecidedAbout: the deletion is for its UID.
func TestAPrunedObjectIsTheOneThatWasDecidedAbout(t *testing.T) {
	s, c := newTarget(t)
	o := wanted("", "configmaps", "ConfigMap", "old")
	o.Ref.UID = "the-one"
	set, err := Prune(t.Context(), c, []inventory.Ref{o.Ref})
	if err != nil || set.Count(Pruned) != 1 {
		t.Fatalf("%+v %v", set, err)
	}
	got := s.deleted[pathOf(o)].Preconditions
	if got == nil || got.UID == nil || *got.UID != types.UID("the-one") {
		t.Errorf("deleted with the preconditions %+v", got)
	}
}

// TestWhatIsTriedIsValidatedStrictly: the server names the fields that its
// version of the kind does not have.
func TestWhatIsTriedIsValidatedStrictly(t *testing.T) {
	s, c := newTarget(t)
	w, err := NewWriter(c)
	if err != nil {
		t.Fatal(err)
	}
	o := wanted("", "configmaps", "ConfigMap", "a")
	if err := w.TryNew(t.Context(), o, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Try(t.Context(), o, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.strict, []string{"Strict", "Strict"}) {
		t.Errorf("field validation %q", s.strict)
	}
}

// TestReadyMeansThatTheControllerHasSeenTheChangeAndItIsThere: by the rules of
// kstatus, and not by what the last generation had.
func TestReadyMeansThatTheControllerHasSeenTheChangeAndItIsThere(t *testing.T) {
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	ref := inventory.Ref{Group: "apps", Version: "v1", Resource: "deployments", Kind: "Deployment", Namespace: "shop", Name: "web"}
	deployment := func(number, observed, replicas, ready int64) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "web", "namespace": "shop", "generation": number},
			"spec":     map[string]any{"replicas": replicas},
			"status": map[string]any{
				"observedGeneration": observed, "replicas": ready, "updatedReplicas": ready, "readyReplicas": ready, "availableReplicas": ready,
				"conditions": []any{
					map[string]any{"type": "Available", "status": "True"},
					map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
				},
			},
		}}
	}
	synctest.Test(t, func(t *testing.T) {
		states := []*unstructured.Unstructured{nil, deployment(2, 1, 2, 2), deployment(2, 2, 2, 1), deployment(2, 2, 2, 2)}
		client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())
		asked := 0
		client.PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
			u := states[min(asked, len(states)-1)]
			asked++
			if u == nil {
				return true, nil, apierrors.NewNotFound(deployments.GroupResource(), "web")
			}
			return true, u, nil
		})
		c := &cluster.Cluster{Name: "target", Dynamic: client}
		var heard []string
		err := WaitReady(t.Context(), c, []inventory.Ref{ref}, func(r Readiness) { heard = append(heard, r.Status) })
		if err != nil || asked != len(states) {
			t.Errorf("ready after %d looks, want %d: %v", asked, len(states), err)
		}
		if want := []string{"NotFound", "InProgress", "InProgress", "Current"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q, want %q", heard, want)
		}

		states, asked = states[2:3], 0
		ctx, cancel := context.WithTimeout(t.Context(), 10*readyPoll)
		defer cancel()
		if err := WaitReady(ctx, c, []inventory.Ref{ref}, nil); err == nil || !strings.Contains(err.Error(), "deployment.apps/web is not ready: ") {
			t.Errorf("what never gets ready: %v", err)
		}
		client.PrependReactor("get", "deployments", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(deployments.GroupResource(), "web", errors.New("no"))
		})
		if err := WaitReady(t.Context(), c, []inventory.Ref{ref}, nil); !apierrors.IsForbidden(err) {
			t.Errorf("who may not look waits for ever: %v", err)
		}
	})
}
