# `make help` lists what there is; `make demo` and `make test` set up what they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PATH := $(CURDIR)/.cache/bin:$(PATH)
# Nix's settings for everything that make starts come from here, never from the machine.
export NIX_CONF_DIR := $(CURDIR)/.ci/nix
export NIX_USER_CONF_FILES := /dev/null
export GOFLAGS := -buildvcs=false

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
PACKAGES := ./... ./testdata
# The rooms with goroutines of their own are tested once more under the race detector.
CONCURRENT := ./internal/flake ./internal/nix/... ./internal/repository ./internal/vars/... ./internal/ssh ./internal/deploy ./internal/term

# Of these, tests that wait for machines rather than run anything of ours at once.
PATIENT := ^Test(ClockJumps|ConnectionLostDuringActivation|Darwin|EmptiedDeploy|Faults|Follow|Health|LinkCut|LocalRebuild|PoorLink|Reboot|Rollback)$$

.PHONY: help build demo test lint unit race bench bench-clan fuzz fmt setup setup-demo clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

build: ## build bin/fleet
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/fleet ./cmd/fleet

demo: setup-demo build ## make the eight-machine demo fleet in a temporary folder and run it
	@.ci/demo bin/fleet

test: setup lint ## everything that CI checks, with counts at the end
	@.ci/test $(PACKAGES)
	@$(MAKE) --no-print-directory race

lint: setup ## formatting, vet, staticcheck, shellcheck, Nix syntax
	@.ci/lint

race: ## the concurrent rooms under the race detector
	go test -race -timeout 15m -skip '$(PATIENT)' $(CONCURRENT)

bench: setup build ## the budgets of the design, as ratios
	go test -run '^$$' -bench . -benchtime 300ms -timeout 20m ./...

bench-clan: setup build ## fleet beside the clan program on a clan flake: OUT=FOLDER CLAN=PROGRAM
	@.ci/bench-clan

fuzz: ## every fuzz target for ten seconds
	@.ci/fuzz 10s

fmt: ## format Go
	go tool gofumpt -w cmd internal testdata/*.go

setup: ## bring what tests need (as root on Debian; elsewhere it says what to install)
	@.ci/setup

setup-demo:
	@.ci/setup --demo

clean: ## remove what was built and brought
	rm -rf bin .cache
