# kubectl-motion. `make` lists the targets.
#
# Two rules apply to all targets: the help line names what a target installs or
# starts, and a recipe that needs Linux or root checks that first.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SUFFIXES:
# The go command uses all cores.
.NOTPARALLEL:

# --- Build --------------------------------------------------------------

MODULE  := github.com/kubectl-motion/kubectl-motion
BIN     := bin
TOOLS   := $(CURDIR)/$(BIN)/tools
DIST    := dist

# Every Go module of the repository. The lab and the image builder are separate
# modules, so that their dependencies are not the plugin's.
MODULES := $(sort $(patsubst ./%,%,$(patsubst %/go.mod,%,$(shell find . -name go.mod -not -path './$(BIN)/*' -not -path '*/testdata/*' 2>/dev/null))))

# The lab's tests need Linux; the plugin's run anywhere.
UNIT_MODULES := $(if $(filter linux,$(shell go env GOOS)),$(MODULES),.)

# A build of an untagged tree has the version v0.0.0-dev.
VERSION ?= $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null || echo v0.0.0-dev)
COMMIT  ?= $(shell git describe --always --match '' --dirty --abbrev=12 2>/dev/null)

LDFLAGS := -s -w \
	-X $(MODULE)/pkg/version.stampedVersion=$(VERSION) \
	-X $(MODULE)/pkg/version.stampedCommit=$(COMMIT)

GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)'

# LDFLAGS set the version. The go command's own detection (-buildvcs) fails where
# git does not trust the owner of the directory.
export GOFLAGS := $(strip $(filter-out -buildvcs=% -trimpath,$(GOFLAGS)) -buildvcs=false -trimpath)

# Tests are built with the same settings as the product, so that every package is
# compiled once. The race detector needs cgo.
export CGO_ENABLED := $(if $(RACE),1,0)

# The agent and everything in its image run on Linux nodes.
AGENT_ARCH ?= $(shell go env GOARCH)
# The plugin's default: its own version of deploy.DefaultRepository.
AGENT_IMAGE ?= ghcr.io/kubectl-motion/motion-agent:$(VERSION)

# --- Tools, pinned, not in any go.mod -------------------------------------

GOLANGCI_LINT_VERSION  := v2.15.0
CONTROLLER_GEN_VERSION := v0.21.0
GOVULNCHECK_VERSION    := v1.9.0

GOLANGCI_LINT  := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)
CONTROLLER_GEN := $(TOOLS)/controller-gen-$(CONTROLLER_GEN_VERSION)
GOVULNCHECK    := $(TOOLS)/govulncheck-$(GOVULNCHECK_VERSION)

# --- Settings ---------------------------------------------------------------

# RACE=1 runs the unit tests under the race detector (needs gcc).
RACE      ?=
# RUN=regexp selects tests, as in `go test -run`.
RUN       ?=
# FUZZTIME is spent on each fuzz target.
FUZZTIME  ?= 20s
# KEEP_LAB=1 leaves the lab up after `make e2e` and `make test`.
KEEP_LAB  ?=
# PLATFORMS is what `make dist` builds.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64
export KEEP_LAB

# tally runs `go test`, prints its output and records the results, from which the
# summary of a run is counted.
RESULTS   := $(BIN)/test-results
TALLY     := $(CURDIR)/$(BIN)/tally -record $(CURDIR)/$(RESULTS)
TESTFLAGS := -shuffle=on $(if $(RACE),-race) $(if $(RUN),-run '$(RUN)')
# The tests share two clusters, so packages run one after the other.
E2EFLAGS  := -tags e2e -v -p 1 -count=1 -timeout 40m $(if $(RUN),-run '$(RUN)')

##@ Build

.PHONY: build
build: $(BIN)/kubectl-motion $(BIN)/motion-agent ## Build the plugin and the agent into bin/ (any platform; installs nothing)

.PHONY: $(BIN)/kubectl-motion
$(BIN)/kubectl-motion:
	$(GO_BUILD) -o $@ ./cmd/kubectl-motion

.PHONY: $(BIN)/motion-agent
$(BIN)/motion-agent:
	GOOS=linux GOARCH=$(AGENT_ARCH) $(GO_BUILD) -o $@ ./cmd/motion-agent

# The agent's image also has the plugin, for Jobs that run in a cluster.
.PHONY: image
image: $(BIN)/motion-agent ## Write the agent's image to bin/images/, without a container engine
	@mkdir -p $(BIN)/images
	GOOS=linux GOARCH=$(AGENT_ARCH) $(GO_BUILD) -o $(BIN)/linux_$(AGENT_ARCH)/kubectl-motion ./cmd/kubectl-motion
	cd deploy/image && go run ./cmd/build-image --name '$(AGENT_IMAGE)' --platform linux/$(AGENT_ARCH) \
		--binary $(CURDIR)/$(BIN)/motion-agent=/motion-agent \
		--binary $(CURDIR)/$(BIN)/linux_$(AGENT_ARCH)/kubectl-motion=/kubectl-motion \
		-o $(CURDIR)/$(BIN)/images/motion-agent.tar

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Regenerate deep copies, CRDs and docs/reference from pkg/api and pkg/cli (builds controller-gen into bin/tools)
	$(CONTROLLER_GEN) object:headerFile=.ci/license-header.txt paths=./pkg/api/...
	$(CONTROLLER_GEN) crd paths=./pkg/api/... output:crd:dir=deploy/crds
	go run ./docs/reference/generate

.PHONY: clean
clean: ## Remove bin/ and dist/ (not the lab: make lab-down)
	rm -rf $(BIN) $(DIST)

##@ Try it

.PHONY: demo
demo: ## Move a running PostgreSQL between two real clusters; the lab stays up (Linux, root; installs Debian packages, see make deps)
	@$(MAKE) --no-print-directory lab-deps
	@$(MAKE) --no-print-directory build image lab-up
	test/demo/demo.sh

.PHONY: lab-up
lab-up: lab-deps $(BIN)/motion-lab ## Start two real Kubernetes clusters on this machine (Linux, root; installs Debian packages; first build takes minutes)
	$(BIN)/motion-lab up

.PHONY: lab-down
lab-down: ## Stop the lab and remove everything it created
	@if [ -x $(BIN)/motion-lab ]; then $(BIN)/motion-lab down; else echo "lab-down: bin/motion-lab does not exist: no lab to stop"; fi

.PHONY: $(BIN)/motion-lab
$(BIN)/motion-lab: lab-deps
	test/lab/build.sh

##@ Test

.PHONY: test
test: ## All tests: unit tests, then the end-to-end tests in the lab (Linux, root; installs Debian packages, see make deps)
	@rm -f $(RESULTS)
	@$(MAKE) --no-print-directory lab-deps
	@status=0; \
	$(MAKE) --no-print-directory unit || status=$$?; \
	$(MAKE) --no-print-directory e2e || status=$$?; \
	$(TALLY) -report -status $$status || status=1; \
	exit $$status

.PHONY: unit
unit: $(BIN)/tally ## Unit tests of every module (no root, no network, any platform; RACE=1, RUN=regexp)
	@status=0; for module in $(UNIT_MODULES); do \
		packages=$$(cd $$module && go list -find -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...) || status=1; \
		[ -n "$$packages" ] || continue; \
		echo "unit tests of module $$module"; \
		(cd $$module && $(TALLY) -- go test $(TESTFLAGS) $$packages) || status=1; \
	done; exit $$status

.PHONY: e2e
e2e: lab-deps build image $(BIN)/motion-lab $(BIN)/tally ## End-to-end tests against real clusters (Linux, root; installs Debian packages; KEEP_LAB=1 keeps the lab)
	test/with-lab.sh $(MAKE) --no-print-directory e2e-tests

.PHONY: e2e-tests
e2e-tests: export MOTION := $(CURDIR)/$(BIN)/kubectl-motion
e2e-tests: export MOTION_LAB := $(CURDIR)/$(BIN)/motion-lab
e2e-tests: $(BIN)/tally ## Only the end-to-end tests, on the running lab
	@export KUBECONFIG="$${KUBECONFIG:-$$($(BIN)/motion-lab kubeconfig --path)}"; status=0; \
	(cd test/lab && $(TALLY) -- go test $(E2EFLAGS) ./...) || status=1; \
	$(TALLY) -- go test $(E2EFLAGS) ./test/krew/installed ./test/e2e/... || status=1; \
	exit $$status

.PHONY: bench
bench: build ## Time `motion-agent copy` and compare with rsync, cp, tar and bare system calls, as a Markdown table; then bench-objects (Linux, root; installs Debian packages; BENCH=quick, ROWS=regexp: those rows and no objects, RUNS=n, MANY=files, BENCH_DIR=folder)
	@.ci/deps bench
	@go build -o $(BIN)/bench ./test/bench
	@$(BIN)/bench $(if $(RUNS),-runs $(RUNS)) $(if $(MANY),-many $(MANY))
	@$(if $(ROWS),,$(MAKE) --no-print-directory bench-objects)

.PHONY: bench-objects
bench-objects: lab-deps build image $(BIN)/motion-lab $(BIN)/tally ## Time 2,000 objects and compare with kubectl, then migrate 20,000 and measure the plugin's memory; uses the running lab or starts one (Linux, root; BENCH=quick: without the 20,000)
	test/bench/objects.sh

.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZTIME each (default 20s)
	test/fuzz.sh $(FUZZTIME)

# tally needs only the standard library.
.PHONY: $(BIN)/tally
$(BIN)/tally:
	@go build -o $@ ./test/tally

##@ Check

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint on every module (the first time builds it into bin/tools, about 90 s)
	@status=0; for module in $(MODULES); do \
		[ -n "$$(cd $$module && GOOS=linux go list -find ./...)" ] || continue; \
		echo "lint of module $$module"; \
		(cd $$module && GOOS=linux $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...) || status=1; \
	done; exit $$status

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format every module (gofumpt, gci)
	@for module in $(MODULES); do \
		[ -n "$$(cd $$module && GOOS=linux go list -find ./...)" ] || continue; \
		(cd $$module && $(GOLANGCI_LINT) fmt --config $(CURDIR)/.golangci.yml ./...) || exit 1; \
	done

.PHONY: verify
verify: ## Check generated files, format, lint and go.mod before review
	@.ci/verify

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Check the product's dependencies against the Go vulnerability database (needs vuln.go.dev)
	$(GOVULNCHECK) ./cmd/...

##@ Package

.PHONY: dist
dist: ## Cross-build kubectl-motion into reproducible archives with sha256 in dist/ (PLATFORMS=os/arch ...)
	@rm -rf $(DIST) && mkdir -p $(DIST)/build
	@for platform in $(PLATFORMS); do \
		os=$${platform%/*} arch=$${platform#*/}; \
		exe=kubectl-motion; [ $$os = windows ] && exe=kubectl-motion.exe; \
		echo "build $$platform"; \
		GOOS=$$os GOARCH=$$arch $(GO_BUILD) -o $(DIST)/build/$${os}_$$arch/$$exe ./cmd/kubectl-motion || exit 1; \
	done
	go run ./deploy/krew/cmd/krew-dist pack -version '$(VERSION)' -license LICENSE -in $(DIST)/build -out $(DIST)
	@rm -rf $(DIST)/build

.PHONY: krew
krew: dist ## Render krew-manifest.yaml for those archives into dist/krew/motion.yaml and check both
	go run ./deploy/krew/cmd/krew-dist render -version '$(VERSION)' -template krew-manifest.yaml -dist $(DIST) -out $(DIST)/krew/motion.yaml
	go run ./deploy/krew/cmd/krew-dist check -dist $(DIST) $(DIST)/krew/motion.yaml

##@ Machine

.PHONY: deps
deps: ## Install the Debian packages that lab, tests and benchmarks use, if missing (root; .ci/deps has the list)
	@.ci/deps

.PHONY: lab-deps
lab-deps:
	@.ci/deps lab

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5); next } \
		/^[a-zA-Z0-9_-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\n%s\n' 'Start with: make demo (the main job, on this machine) or make test (all tests).'

# For tests that compare LDFLAGS with pkg/version.
.PHONY: print-ldflags
print-ldflags:
	@echo '$(LDFLAGS)'

# --- Tool builds ---------------------------------------------------------------

# $(call install-tool,binary,package@version): the file's name carries the
# version, so that a new pin is a new file.
define install-tool
@mkdir -p $(TOOLS)/.install
@echo "building $(2) into $(BIN)/tools"
@GOBIN=$(TOOLS)/.install go install $(2)
@mv $(TOOLS)/.install/$(1) $@
endef

$(GOLANGCI_LINT):
	$(call install-tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))

$(CONTROLLER_GEN):
	$(call install-tool,controller-gen,sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_GEN_VERSION))

$(GOVULNCHECK):
	$(call install-tool,govulncheck,golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION))
