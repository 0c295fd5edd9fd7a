// SPDX-FileCopyrightText: The kubectl-motion authors
// SPDX-License-Identifier: Apache-2.0

// Command web is a small web server for tests: it serves the files below a folder on port 8080, and lets a client store
// one with PUT, so that a test can put data into a volume and find it again after a move.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	dir := os.Getenv("WEB_ROOT")
	if dir == "" {
		dir = "/www"
	}
	server := &http.Server{Addr: ":8080", Handler: handler(dir), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

func handler(dir string) http.Handler {
	mux := http.NewServeMux()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	mux.HandleFunc("GET /hostname", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, host) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("PUT /{name}", func(w http.ResponseWriter, r *http.Request) {
		if err := store(dir, r.PathValue("name"), r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.Handle("GET /", http.FileServer(http.Dir(dir)))
	return mux
}

// store writes a file and does not answer before it is on disk.
func store(dir, name string, content io.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Sync()
}
