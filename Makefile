# Everything a developer or a first-time user runs. Two commands are enough on a fresh machine:
#   make run    set up what is needed and start JIM (a server and two clients, or a demo)
#   make test   set up what is needed and run the whole test suite
# Only python3 >= 3.11 with its venv module, and make, have to be there. ARGS="…" is passed on.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
MAKEFLAGS += --no-print-directory

# The set-up is done once for each version of the locked requirements: that is what the stamps say.
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed
# sslyze needs an older cryptography than everything else.
SCAN_VENV := .venv-sslyze
SCAN := $(SCAN_VENV)/.installed
# An environment whose interpreter is gone (an upgraded system) is made anew.
$(shell $(BIN)/python -c '' 2>/dev/null || rm -f $(RUNTIME) $(DEV))

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1
# One tool has no wheel; this builds it without old setuptools and its warnings.
export PIP_USE_PEP517 := 1
PIP_INSTALL := $(BIN)/python -m pip install --quiet --require-hashes

# What is checked: the package, its tests and tools, and whichever programs there are.
CODE := $(wildcard jim unit_tests tools benchmarks reliability my_server.py my_client.py launcher.py)

.DEFAULT_GOAL := help
.PHONY: help run setup test check e2e fmt fmt-check lint types layers translations \
        translations-check lengths docs docs-check bench bench-guard faults tls-scan lock dist clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do \
	  printf '  make %-14s %s\n' "$$name" "$$text"; done

run: $(RUNTIME) ## set up and start: launcher with a terminal, demo without (ARGS="…" passed on)
	@exec $(BIN)/python launcher.py $(ARGS)

setup: $(DEV) ## make .venv with everything that development needs
	@:

# Many tests start programs and wait for them. A file's tests stay together, for what they share.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -q --numprocesses $(JOBS) --dist loadfile

test: $(DEV) ## run the whole test suite (ARGS="unit_tests/core -x", JOBS=0 in one process)
	@$(PYTEST) $(ARGS)

e2e: $(DEV) ## run only the tests with real processes
	@$(PYTEST) -m e2e $(ARGS)

check: fmt-check lint types layers translations-check docs-check lengths ## all checks but the tests

fmt: $(DEV) ## format the code and sort the imports
	@$(BIN)/ruff check --quiet --select I --fix $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

fmt-check: $(DEV)
	@$(BIN)/ruff format --quiet --check $(CODE) || { echo 'Not formatted: run `make fmt`'; exit 1; }

lint: $(DEV)
	@$(BIN)/ruff check --quiet $(CODE)

types: $(DEV)
	@$(BIN)/mypy --no-error-summary $(CODE)

layers: $(DEV)
	@$(BIN)/lint-imports --no-logo --no-cache >$(VENV)/layers.txt || { cat $(VENV)/layers.txt; exit 1; }

translations: $(DEV) ## extract new texts, update and compile the catalogues
	@$(BIN)/python -m tools.translations

translations-check: $(DEV)
	@$(BIN)/python -m tools.translations --check

lengths: $(DEV)
	@$(BIN)/python -m tools.module_lengths

# Pages generated from code (errors, commands, states). tools/generate_docs.py writes them.
docs: $(DEV) ## write the pages that are generated from code
	@if [ -f tools/generate_docs.py ]; then $(BIN)/python -m tools.generate_docs; fi

docs-check: $(DEV)
	@if [ -f tools/generate_docs.py ]; then $(BIN)/python -m tools.generate_docs --check; fi

bench: $(DEV) ## measure messages/s, latency and memory (ARGS passed on)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-guard: $(DEV) ## fail if the hot path has become clearly slower (ARGS=--record: set the bound)
	@$(BIN)/python -m benchmarks.guard $(ARGS)

# The short form of every part of the proof (docs/reliability.md). A fault that this machine cannot
# make is skipped by name; ARGS=--require-all, as in .ci/run, makes that a failure.
faults: $(DEV) ## break everything for a quarter of an hour and see the promise hold
	@echo '-- the pure core under seeded schedules'
	@$(BIN)/python -m reliability.simulate --seeds 20000 --jobs 2
	@echo '-- server and client whole on a virtual loop'
	@$(BIN)/python -m reliability.virtual --runs 1000 --jobs 2
	@echo '-- devices that seal for each other under seeded schedules'
	@$(BIN)/python -m reliability.sealed --seeds 120 --jobs 2
	@echo '-- a death at every commit of what is sealed and opened'
	@$(BIN)/python -m reliability.sealed --points
	@echo '-- real processes under real faults'
	@$(BIN)/python -m reliability.faults $(ARGS)
	@echo '-- malformed input'
	@$(BIN)/python -m reliability.hostile --short --quiet
	@echo '-- load'
	@$(BIN)/python -m reliability.load all --short
	@echo '-- planted bugs: each has to be caught'
	@$(BIN)/python -m reliability.planted --jobs 2

tls-scan: $(DEV) $(SCAN) ## scan a running server's TLS with sslyze, by both profiles
	@$(BIN)/python -m tools.tls_scan

dist: $(DEV) ## build the wheel and the source archive into dist/
	@$(BIN)/python -m build --no-isolation >$(VENV)/build.txt 2>&1 || { cat $(VENV)/build.txt; exit 1; }
	@ls dist

# The locks name public files by their hashes, for all platforms. Needs uv and the network.
UV := $(firstword $(wildcard $(BIN)/uv) uv)
UV_CLEAN := env -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_INDEX_URL
EXPORT := $(UV_CLEAN) $(UV) --no-config export --quiet --frozen --no-emit-project --no-header
COMPILE := $(UV_CLEAN) $(UV) --no-config pip compile --quiet --default-index https://pypi.org/simple \
           --universal --python-version 3.11 --generate-hashes --no-header

lock: ## resolve the dependencies anew: uv.lock and requirements/*.txt (ARGS="--upgrade")
	@$(UV_CLEAN) $(UV) --no-config lock --quiet --default-index https://pypi.org/simple $(ARGS)
	@$(EXPORT) --no-dev -o requirements/runtime.txt >/dev/null
	@$(EXPORT) --all-groups -o requirements/dev.txt >/dev/null
	@$(COMPILE) $(ARGS) requirements/sslyze.in -o requirements/sslyze.txt >/dev/null

clean: ## remove .venv, caches and what was built
	@rm -rf $(VENV) $(SCAN_VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment -------------------------------------------------------------------------

# A Python that is new enough and can make an environment: the first of these.
define MAKE_VENV
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
  for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
    if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
    then found=$$python; break; fi; \
  done; \
  if [ -z "$$found" ]; then \
    echo 'JIM needs Python 3.11 or newer with its venv module.' >&2; \
    echo 'On Debian and Ubuntu: sudo apt install python3 python3-venv' >&2; exit 1; \
  fi; \
  $$found -m venv --clear $(VENV); \
fi
endef

$(RUNTIME): requirements/runtime.txt
	@echo 'JIM: installing into $(VENV) (only this once)…'
	@$(MAKE_VENV)
	@$(PIP_INSTALL) -r requirements/runtime.txt
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml
	@echo 'JIM: installing the development tools into $(VENV) (only this once)…'
	@$(MAKE_VENV)
	@$(PIP_INSTALL) -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(RUNTIME) $@

# nassl as a wheel or not at all: it has an OpenSSL of its own in it, which nobody wants to build.
$(SCAN): requirements/sslyze.txt | $(DEV)
	@echo 'JIM: installing sslyze into $(SCAN_VENV) (only this once)…'
	@$(BIN)/python -m venv --clear $(SCAN_VENV)
	@$(SCAN_VENV)/bin/python -m pip install --quiet --require-hashes --only-binary nassl -r requirements/sslyze.txt
	@touch $@
