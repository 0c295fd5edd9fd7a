// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatIsPutIsServedAndOnDisk(t *testing.T) {
	dir := t.TempDir()
	server := httptest.NewServer(handler(dir))
	defer server.Close()
	request, err := http.NewRequest(http.MethodPut, server.URL+"/note", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("PUT: %s", response.Status)
	}
	response, err = http.Get(server.URL + "/note")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "hello" {
		t.Errorf("GET: %q, %v", body, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "note")); err != nil || string(data) != "hello" {
		t.Errorf("on disk: %q, %v", data, err)
	}
}

func TestNothingIsStoredOutsideOfTheFolder(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "www")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../escaped", "..", "a/../../escaped"} {
		if err := store(dir, name, strings.NewReader("x")); err == nil {
			t.Errorf("%s was stored", name)
		}
	}
	if _, err := os.Stat(filepath.Join(parent, "escaped")); err == nil {
		t.Error("a file escaped")
	}
}
