# The one entry. `make` alone lists the targets.
# CARGO_TARGET_DIR and TABLEFLOW_VENV, when set, say where to build and where to keep the tests' Python.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:

# One feature set for everything, so that nothing is compiled twice.
FEATURES := --features kill-points
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test check format lint docs rust python deep fuzz bench

help:  ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

# A test is named beside the binary, so that crates get the features that `make test` gives them: they are built once.
build:  ## the binary, as the tests use it
	cargo build --locked --workspace $(FEATURES) --bin tableflow --test product

demo: build  ## a shop's topics become tables, in this folder's ./demo-data, made anew each time
	rm -rf demo-data
	"$(TARGET_DIR)/debug/tableflow" --data-dir demo-data demo --keep

test: format lint docs python rust  ## everything CI runs

check: format lint docs  ## format, lints, docs, licences
	if command -v cargo-deny > /dev/null; then
	  cargo deny check bans licenses sources
	else
	  echo "not checked: licences and bans, because cargo-deny is not installed"
	fi

format:
	cargo fmt --all --check

lint:
	cargo clippy --locked --workspace $(FEATURES) --all-targets -- --deny warnings

docs:
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --workspace $(FEATURES) --no-deps

rust:
	python="$$(scripts/venv)"
	kafka="$$(scripts/part kafka)"
	registry="$$(scripts/part registry)"
	export TABLEFLOW_PYTHON="$$python" TABLEFLOW_KAFKA="$$kafka" TABLEFLOW_REGISTRY="$$registry"
	cargo test --locked --workspace $(FEATURES)

python:
	"$$(scripts/venv)" -m unittest discover --start-directory tests/python

deep:  ## the long tests; PART=kills runs one part
	scripts/deep $(PART)

fuzz:  ## looks for inputs that break a decoder, SECONDS_EACH=20; TARGETS="avro json" some of them
	fuzz/run $(TARGETS)

bench:  ## the benchmarks
	bench/run
