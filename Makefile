# The commands that matter. Each sets up what it needs; python3 >= 3.11 and make are enough
# (make servers also needs Go, make bench also Go, node and npm).
PYTHON ?= python3
UV := .tools/uv/bin/uv
UV_VERSION := 0.13.9
RUN := .venv/bin/python
# WORKERS: processes that run tests side by side; many tests wait more than they work.
WORKERS ?= 3
PYTEST := $(RUN) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
READY := .venv/.ready
export UV_PYTHON_DOWNLOADS := never
VAULT := $(if $(shell command -v vault || command -v bao),,.tools/bin/vault)
export GOBIN := $(CURDIR)/.tools/bin

.PHONY: help demo test soak check format lint types imports protos servers bench wheel clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1 - /p' $(MAKEFILE_LIST)

demo: $(READY) ## the main job, end to end, on the embedded default
	@$(RUN) -m tests.demo

test: $(READY) ## every test; without Go, those that need a server built with it are named and left to CI
	@if command -v go >/dev/null; then $(MAKE) -s --no-print-directory servers && $(PYTEST); \
	else echo "no Go here: the tests marked 'servers' (real OPA, Vault, Tessera fsck) are left to make check"; \
	$(PYTEST) -m "not servers"; fi

soak: $(READY) servers ## the same tests at full size: generated cases, kills, faults; some hours
	BROKER_TEST_SIZE=full $(PYTEST)

check: $(READY) lint types imports protos-check ## what CI runs; it fails where a real server is missing
	$(PYTEST)

lint: $(READY)
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .

format: $(READY) ## ruff, in place
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

types: $(READY) ## mypy, strict
	.venv/bin/mypy

imports: $(READY)
	.venv/bin/lint-imports

protos: $(READY) ## regenerates broker/gen from protos/
	$(RUN) protos/generate.py

protos-check: $(READY) .tools/bin/buf
	.tools/bin/buf lint protos
	$(RUN) protos/generate.py --check

servers: .tools/bin/opa .tools/bin/fsck .tools/bin/buf $(VAULT) ## the real servers that tests use, into .tools/bin

bench: $(READY) ## figures and ratios against the named peers, from one run
	$(RUN) -m tests.bench

wheel: $(READY) ## dist/: the wheel, and its dependencies with the hashes of uv.lock
	$(UV) build --wheel --quiet
	$(UV) export --frozen --quiet --no-dev --no-emit-project --output-file dist/requirements.txt

$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	@test -x $(UV) || { echo "setting up: uv"; $(PYTHON) -m venv .tools/uv && .tools/uv/bin/pip install -q --disable-pip-version-check uv==$(UV_VERSION); }
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

clean:
	rm -rf .venv .tools dist
