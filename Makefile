# make run    build the server and start it on http://127.0.0.1:5984, data in ./data
# make test   everything that CI checks
# make fuzz   look for inputs that break parsers, FUZZ_SECONDS for each
# make bench  measure
# make deps   install what building and testing need

SHELL := /bin/bash
CACHE := $(HOME)/.cache/settee
export CARGO_TARGET_DIR ?= $(CACHE)/target
export SETTEE_CACHE := $(CACHE)
export PATH := /usr/lib/ccache:$(CACHE)/tools/bin:$(HOME)/.cargo/bin:$(PATH)

# Commands and headers that the build needs, and those that only the tests need.
BUILD_PACKAGES := clang libclang-dev g++ make ccache
TEST_PACKAGES := python3 python3-venv curl chromium
NODE_PACKAGES := nodejs npm
OLDEST_NODE := 18

CARGO_DENY_VERSION := 0.20.2
AIOCOUCH_VERSION := 4.0.1
AIOCOUCH := $(CACHE)/aiocouch-$(AIOCOUCH_VERSION)
COUCHAPP_VERSION := 1.3.4
COUCHAPP := $(CACHE)/cmscouchapp-$(COUCHAPP_VERSION)
BOOTSTRAP_VERSION := 15.1.0
BOOTSTRAP := $(CACHE)/couchdb-bootstrap-$(BOOTSTRAP_VERSION)
CARGO_FUZZ_VERSION := 0.13.2
FUZZ_TARGETS := multipart json_splice keys revtree selectors ini
FUZZ_SECONDS ?= 60
# The same inputs in every run; 0 for others.
FUZZ_SEED ?= 1
NODE_MODULES := compat-tests/node/node_modules/.package-lock.json

.PHONY: run test fuzz bench deps build-packages test-packages

run: build-packages
	cargo build --release --locked
	"$(CARGO_TARGET_DIR)/release/settee" serve --bind 127.0.0.1 --port 5984 --data-dir ./data

# Tests run in the release profile: RocksDB takes too long to be built for two.
test: deps
	cargo fmt --check
	cargo clippy --release --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --document-private-items --locked
	cargo-deny --offline check bans licenses sources
	cargo test --release --locked

# Without a sanitizer stable Rust will do: there is no unsafe code. Two targets at a time.
fuzz: $(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	CARGO_TARGET_DIR="$(CACHE)/fuzz" cargo fuzz build --sanitizer none
	printf '%s\n' $(FUZZ_TARGETS) | CARGO_TARGET_DIR="$(CACHE)/fuzz" xargs -P 2 -I TARGET \
	  cargo fuzz run --sanitizer none TARGET -- \
	  -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_funcs=0 -verbosity=0 -print_final_stats=1

bench: build-packages
	ulimit -n $$(ulimit -Hn) && cargo bench --locked --bench server

deps: build-packages test-packages $(NODE_MODULES) $(AIOCOUCH)/ready $(COUCHAPP)/ready \
  $(BOOTSTRAP)/ready $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)
	cargo fetch --locked

build-packages:
	@compat-tests/system-packages $(BUILD_PACKAGES)
	@command -v cargo >/dev/null || { \
	  echo "settee is built with cargo: install Rust as rust-lang.org says, then try again." >&2; exit 1; }

test-packages:
	@compat-tests/system-packages $(TEST_PACKAGES)
	@major=$$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'); \
	if [ "$${major:-0}" -lt $(OLDEST_NODE) ] || ! command -v npm >/dev/null; then \
	  compat-tests/system-packages $(NODE_PACKAGES); \
	fi

$(NODE_MODULES): compat-tests/node/package.json compat-tests/node/package-lock.json
	cd compat-tests/node && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# The suite lies in the source distribution only.
$(AIOCOUCH)/ready: compat-tests/aiocouch-requirements.txt
	rm -rf "$(AIOCOUCH)"
	mkdir -p "$(AIOCOUCH)/source"
	python3 -m venv "$(AIOCOUCH)/venv"
	"$(AIOCOUCH)/venv/bin/pip" download --quiet --no-deps --no-binary aiocouch \
	  --dest "$(AIOCOUCH)" aiocouch==$(AIOCOUCH_VERSION)
	tar -xzf "$(AIOCOUCH)/aiocouch-$(AIOCOUCH_VERSION).tar.gz" -C "$(AIOCOUCH)/source" --strip-components 1
	"$(AIOCOUCH)/venv/bin/pip" install --quiet -r compat-tests/aiocouch-requirements.txt
	touch $@

$(COUCHAPP)/ready: compat-tests/couchapp-requirements.txt
	rm -rf "$(COUCHAPP)"
	python3 -m venv "$(COUCHAPP)"
	"$(COUCHAPP)/bin/pip" install --quiet -r compat-tests/couchapp-requirements.txt
	touch $@

$(BOOTSTRAP)/ready: compat-tests/couchdb-bootstrap/package.json compat-tests/couchdb-bootstrap/package-lock.json
	rm -rf "$(BOOTSTRAP)"
	mkdir -p "$(BOOTSTRAP)"
	cp $^ "$(BOOTSTRAP)"
	cd "$(BOOTSTRAP)" && npm ci --ignore-scripts --no-audit --no-fund
	chmod +x "$(BOOTSTRAP)/node_modules/couchdb-bootstrap/cli.js"
	touch $@

$(CACHE)/tools/cargo-fuzz-$(CARGO_FUZZ_VERSION):
	CARGO_TARGET_DIR="$(CACHE)/tools/target" cargo install --locked --root "$(CACHE)/tools" \
	  cargo-fuzz@$(CARGO_FUZZ_VERSION)
	rm -rf "$(CACHE)/tools/target"
	touch $@

$(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION):
	CARGO_TARGET_DIR="$(CACHE)/tools/target" cargo install --locked --root "$(CACHE)/tools" \
	  cargo-deny@$(CARGO_DENY_VERSION)
	rm -rf "$(CACHE)/tools/target"
	touch $@
