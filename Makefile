# Everything that a newcomer, a contributor or CI runs. `make` alone lists it.

DEMO ?=
PROGRAM ?= worker/python/examples/flip.py
ARGS ?=
HTTP ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:9090
BENCH ?=
SOAK ?=
PIECES ?=
LOAD ?=
HOSTILE ?=
FUZZ ?=
H264 ?= yes
RELEASE ?=

.DEFAULT_GOAL := help
.PHONY: help demo demo-python wheel test deny audit test-clients test-firefox test-deploy test-hostile bench soak bench-pieces instructions fuzz loadtest fuzz-asan release fmt

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  make demo DEMO=flip    one of the demos instead of all'
	@echo '  make demo HTTP=$(HTTP) ADMIN=$(ADMIN) ARGS=    (these are its defaults)'

demo: ## Build in release, serve all demos and print the page's address
	@scripts/packages.sh demo
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release -p reframe-worker --features demos
	@echo '==> starting; Ctrl-C ends it'
	target/release/reframe-worker launch $(if $(DEMO),--demo '$(DEMO)') --http '$(HTTP)' --admin '$(ADMIN)' $(ARGS)

demo-python: ## The same for a program in Python; make demo-python PROGRAM=FILE
	@scripts/packages.sh demo-python
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --package reframe-python
	@echo '==> starting; Ctrl-C ends it'
	@scripts/python.sh demo '$(PROGRAM)' --http '$(HTTP)' --admin '$(ADMIN)' $(ARGS)

wheel: ## The Python package as a wheel, tried in every Python here; H264=no makes one without OpenH264
	@scripts/packages.sh demo-python
	@H264='$(H264)' scripts/python.sh wheel

# Cheapest first. Plain `cargo test` is for machines without nextest; it is held to two tests at a time, because each of
# the end-to-end tests moves video in real time.
test: ## Formatting, lints, docs and every test; what CI runs
	@echo '==> on two cores: 30 minutes to build everything the first time, then 22 for the tests'
	@scripts/packages.sh test
	@scripts/clients.sh test
	@scripts/python.sh install test gradio-5 gradio-6
	@echo '==> formatting'
	cargo fmt --all --check
	@echo '==> dependencies: licences, sources, bans'
	@scripts/deny.sh check
	@echo '==> lints; the first time builds every dependency'
	cargo clippy --workspace --all-targets -- -D warnings
	@echo '==> documentation'
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	@echo '==> building tests, and the binaries that they start'
	cargo build --workspace --all-targets
	@echo '==> the Python package'
	@scripts/python.sh test
	@echo '==> examples in the documentation'
	cargo test --workspace --doc
	@echo '==> benchmarks of the pieces, each once'
	cargo test --workspace --bench pieces
	@echo '==> tests'
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --workspace && \
		cargo nextest run --workspace --no-tests=pass --run-ignored only -E "$$(scripts/privileged.sh)"; \
	else \
		set -x; cargo test --workspace --lib --bins --tests --examples -- --test-threads 2 --skip attacks:: --skip herd:: && \
		cargo test --workspace --test e2e -- --test-threads 1 attacks:: herd:: && \
		echo '    some tests that need root are ignored: install cargo-nextest to run them'; \
	fi

deny: ## Licences and sources of all dependencies, and what may not be among them
	@scripts/deny.sh check

# Not a part of `test`: it asks a database that is not this tree's, and changes by itself.
audit: ## Known vulnerabilities in the dependencies; ends with 2 where the database cannot be fetched
	@scripts/deny.sh audit

# Not a part of `test`: Debian has no package of geckodriver, and building it takes longer than all tests.
test-firefox: ## The page in Firefox; builds geckodriver the first time
	@scripts/packages.sh test-firefox
	@command -v geckodriver >/dev/null 2>&1 || cargo install --locked geckodriver
	cargo build --workspace --all-targets
	cargo test --workspace --test e2e -- firefox:: --include-ignored --nocapture

# Not a part of `test`, which tries two versions of aiortc: all of them, from PyPI, npm and Debian, take minutes to
# install and to run.
test-clients: ## Clients of other projects against a gateway: aiortc, GStreamer, werift
	@scripts/packages.sh test-clients
	@scripts/clients.sh all
	cargo build --workspace --all-targets
	cargo test --workspace --test e2e -- clients:: --include-ignored --nocapture --test-threads 1

# Not a part of `test`: it needs Docker, and builds everything once more in it.
test-deploy: ## What is below deploy/: checks, then images built and the compose stack run
	deploy/check.sh
	deploy/check.sh release
	deploy/test-compose.sh

# Not a part of `test`, which makes each attack but the slow ones once, in a dev build. This makes all at random, in release.
test-hostile: ## Every attack at random for ten minutes beside honest streams; make test-hostile HOSTILE=--help
	@scripts/packages.sh test-hostile
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --workspace --bins
	@echo '==> attacking'
	target/release/reframe-hostile $(HOSTILE)

bench: ## Measure it on this machine, five minutes; make bench BENCH=--help
	@scripts/packages.sh bench
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --workspace --bins
	@echo '==> measuring'
	target/release/reframe-bench $(BENCH)

soak: ## Two 720p streams and a disturbance each minute, for ten minutes; make soak SOAK='--minutes 60'
	@scripts/packages.sh bench
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --workspace --bins
	@echo '==> measuring'
	target/release/reframe-bench --only soak $(SOAK)

bench-pieces: ## Each piece of a frame's way by itself; make bench-pieces PIECES=conversion
	@scripts/packages.sh bench
	cargo bench --workspace --bench pieces -- $(PIECES)

instructions: ## Count what one 720p frame takes, hop by hop: the same on a busy machine
	@scripts/packages.sh instructions
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --workspace --bins
	@echo '==> counting, a minute'
	@scripts/instructions.sh

# The version that Cargo.toml has. For good: scripts/release.sh publish (docs/releases.md).
release: ## What a release would be, a dry run; make release RELEASE='prepare 0.2.0'
	@scripts/release.sh $(RELEASE)

fuzz: ## What strangers' bytes reach first, on mutations of tests/fuzz; make fuzz FUZZ='--count 10000000 association'
	cargo build --release --workspace --bins
	target/release/reframe-fuzz $(FUZZ)

loadtest: ## Four 720p streams through flip, half a minute; make loadtest LOAD=--help
	@scripts/packages.sh bench
	@echo '==> building in release; the first time takes some minutes'
	cargo build --release --workspace --bins
	@echo '==> loading'
	@scripts/loadtest.sh $(LOAD)

# Not a part of `test`: it builds everything once more, with clang. What it once found is tried by a unit test there.
fuzz-asan: ## Strangers' bytes under libFuzzer and AddressSanitizer; make fuzz-asan FUZZ=--help
	@scripts/fuzz.sh $(FUZZ)

fmt: ## Format the code
	cargo fmt --all
