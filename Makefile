# The commands that matter. Each sets up what it needs; python3 >= 3.11 and make are enough
# (make servers also needs Go, make bench also Go, node and npm).
PYTHON ?= python3
UV := .tools/uv/bin/uv
UV_VERSION := 0.13.9
RUN := .venv/bin/python
# WORKERS: processes that run tests side by side; many tests wait more than they work.
WORKERS ?= 5
# QUICK: the folders of tests that start no process and need no server; tests/structure holds it to that.
QUICK := budget call catalog identity keystore lanes lifecycle loop money prefilter shaping structure throttling tlog
# COVERED: what `make coverage` runs, e.g. COVERED="tests/e2e tests/grpc"; loop holds times, which measuring changes.
COVERED ?= $(filter-out tests/loop,$(QUICK:%=tests/%))
# AUDIT_SERVICE: who is asked for vulnerabilities: pypi, osv, or a mirror of it: "osv --osv-url URL".
AUDIT_SERVICE ?= pypi
DIST ?= dist
PYTEST := $(RUN) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# ALONE: hold how long the event loop is busy at most; tests beside them would be in the figure.
ALONE := tests/e2e/test_hostile_load.py tests/policy/test_worst_patterns.py
EVERY := $(RUN) -m pytest -q $(ALONE) && $(PYTEST) $(ALONE:%=--ignore=%)
READY := .venv/.ready
export UV_PYTHON_DOWNLOADS := never
# Where a shell forbids Python to keep what it compiles, each process that a test starts compiles 800 modules.
unexport PYTHONDONTWRITEBYTECODE
VAULT := $(if $(shell command -v vault || command -v bao),,.tools/bin/vault)
STORE := $(if $(shell command -v valkey-server || command -v redis-server),,.tools/bin/redis-server)
BALANCER := $(if $(shell PATH="$$PATH:/usr/sbin" command -v haproxy),,/usr/sbin/haproxy)
export GOBIN := $(CURDIR)/.tools/bin

.PHONY: help demo quick test soak check coverage lint format types imports dependencies protos protos-check \
	servers bench wheel sbom audit clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1 - /p' $(MAKEFILE_LIST)

demo: $(READY) ## the main job, end to end, on the embedded default
	@$(RUN) -m tests.demo

quick: $(READY) ## the tests that need no server: under a minute
	$(PYTEST) $(QUICK:%=tests/%)

test: $(READY) ## every test; without Go, those that need a server built with it are named and left to CI
	@if command -v go >/dev/null; then $(MAKE) -s --no-print-directory servers && $(EVERY); \
	else echo "no Go here: the tests marked 'servers' (real OPA, Vault, Tessera fsck) are left to make check"; \
	$(EVERY) -m "not servers"; fi

soak: $(READY) servers ## the same tests at full size: generated cases, kills, faults; some hours
	export BROKER_TEST_SIZE=full; $(EVERY)

check: $(READY) lint types imports dependencies protos-check sbom ## what CI runs; it fails where a real server is missing
	$(EVERY)

coverage: $(READY) ## lines and branches that the quick tests run; COVERED="tests/e2e ..." for others
	$(PYTEST) --cov --cov-report=term:skip-covered $(COVERED)

lint: $(READY) ## ruff: style and mistakes
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

format: $(READY) ## ruff, in place
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

types: $(READY) ## mypy, strict
	.venv/bin/mypy

imports: $(READY) ## the arrows between packages
	.venv/bin/lint-imports

dependencies: $(READY) ## what is imported is declared, what is declared is imported; tests may import dev ones
	.venv/bin/deptry .
	.venv/bin/deptry . --exclude '\.venv|\.tools' --ignore DEP002,DEP004

protos: $(READY) ## regenerates broker/gen from protos/
	$(RUN) protos/generate.py

protos-check: $(READY) .tools/bin/buf ## the protos' style; broker/gen is what they say
	.tools/bin/buf lint protos
	$(RUN) protos/generate.py --check

servers: .tools/bin/opa .tools/bin/fsck .tools/bin/buf $(VAULT) $(STORE) $(BALANCER) ## the real servers that tests use, into .tools/bin

bench: $(READY) ## figures and ratios against the named peers, from one run
	$(RUN) -m tests.bench

wheel: $(READY) ## dist/: the wheel, and its dependencies with the hashes of uv.lock
	$(UV) build --wheel --quiet --out-dir $(DIST)
	$(UV) export --frozen --quiet --no-dev --no-emit-project --output-file $(DIST)/requirements.txt

sbom: $(UV) ## dist/sbom.json: what the wheel runs on, as CycloneDX
	@mkdir -p $(DIST)
	$(UV) export --frozen --quiet --no-dev --format cyclonedx1.5 --preview-features sbom-export --output-file $(DIST)/sbom.json

audit: $(READY) ## known vulnerabilities in all of uv.lock; a package that the service does not know is a failure
	@mkdir -p $(DIST)
	@$(UV) export --frozen --quiet --all-extras --no-emit-project --output-file $(DIST)/locked.txt
	@sed 's/ ; .*/ \\/' $(DIST)/locked.txt >$(DIST)/audited.txt # what other platforms need, too: pip-audit would leave it out
	@.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement $(DIST)/audited.txt --vulnerability-service $(AUDIT_SERVICE) \
	|| { echo "audit not passed: a package has a known vulnerability, or $(AUDIT_SERVICE) does not know one, or is not reached (see above)."; \
	echo "Try: a newer version ($(UV) lock --upgrade-package NAME); another service (make audit AUDIT_SERVICE=osv);"; \
	echo "or run it where the service can be reached; HTTPS_PROXY counts."; exit 1; }

$(UV):
	@echo "setting up: uv"
	@$(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION)

$(READY): pyproject.toml uv.lock | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@echo "setting up: .venv, from uv.lock"
	@$(UV) sync --frozen --quiet --python $(PYTHON)
	@touch $(READY)

.tools/bin/%: | .tools/bin
	@command -v go >/dev/null || { echo "go is needed to build $*: install Go 1.25 or newer"; exit 1; }
	@echo "building $* (Go, once)"
	@go install $(MODULE_$*)

.tools/bin/vault: | .tools/bin # not `go install`: Vault needs the replacements, which only a main module may name
	@command -v go >/dev/null || { echo "go is needed to build vault: install Go 1.25 or newer, or put vault or bao on PATH"; exit 1; }
	@echo "building vault $(VAULT_VERSION) (Go, once; 4 to 10 minutes)"
	@mkdir -p .tools/build/vault
	@printf '%s\n' $(VAULT_MODULE) >.tools/build/vault/go.mod
	@cd .tools/build/vault && GOFLAGS=-mod=mod go build -tags minimal -o vault.new github.com/hashicorp/vault
	@mv .tools/build/vault/vault.new $@

.tools/bin/redis-server: | .tools/bin # Debian's redis-tools holds the server under another name, and starts no service
	@command -v redis-check-rdb >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-tools; } \
	|| { echo "no Valkey or Redis: put valkey-server or redis-server on PATH, or install redis-tools"; exit 1; }
	@ln -sf "$$(command -v redis-check-rdb)" $@

/usr/sbin/haproxy: # its own service serves nothing: Debian's configuration names no listener
	@{ apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends haproxy; } \
	|| { echo "no HAProxy: put haproxy on PATH"; exit 1; }

# `go mod tidy` would raise sdk and break the build.
VAULT_VERSION := v1.21.2
VAULT_MODULE := 'module build' 'go 1.25' \
	'require github.com/hashicorp/vault $(VAULT_VERSION)' \
	'require github.com/hashicorp/vault/sdk v0.20.0' \
	'replace github.com/99designs/keyring => github.com/Jeffail/keyring v1.2.3' \
	'replace github.com/ma314smith/signedxml v1.1.1 => github.com/moov-io/signedxml v1.1.1'

MODULE_opa := github.com/open-policy-agent/opa@v1.22.2
MODULE_fsck := github.com/transparency-dev/tessera/cmd/fsck@v1.0.4
MODULE_buf := github.com/bufbuild/buf/cmd/buf@v1.75.0

.tools/bin:
	@mkdir -p $@

clean: ## away with all that these targets made
	rm -rf .venv .tools dist
