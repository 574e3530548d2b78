# Needs Python 3.11 or newer and a package registry; nothing else, no server.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= 20
PYTEST_ARGS ?=
# Processes of tests: more than two cores, because most of what they do is waiting.
TEST_WORKERS ?= 5
# What pytest makes of the files of tests is kept, for the other workers and the next run.
TESTS = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup --no-loadscope-reorder
BENCH ?=
ROUNDS ?=
SEED ?= 1
MINUTES ?= 1
ADAPTER ?=
CHAOS_ARGS ?=
SEEDS ?= 1000
SIMULATION_ARGS ?=
INPUTS ?= 1000000
FUZZ_ARGS ?=
MUTANTS_ARGS ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK_WITH = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-emit-package muster-client --quiet --custom-compile-command "make lock" --upgrade

.DEFAULT_GOAL := help
.PHONY: help run test test-quick test-long test-compose conformance chaos simulate-faults fuzz mutants bench bench-quick engine env lint format client-js dashboard test-dashboard pictures bench-dashboard lock release clean

help: ## show these lines
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+): .*## /  make \1\t/' | expand -t 22

run: $(VENV)/.installed ## install into .venv and start everything with 20 simulated devices
	@exec $(BIN)/muster up --demo $(DEMO)

test: $(VENV)/.installed-dev ## install into .venv and run all tests, some on a sample (PYTEST_ARGS="-k name": only those)
	@$(TESTS) $(PYTEST_ARGS)

test-quick: $(VENV)/.installed-dev ## only the tests that start no processes, in a minute and a half; see README for a single one
	@$(TESTS) -n 3 -m "not processes" $(PYTEST_ARGS)

test-long: $(VENV)/.installed-dev ## all tests, with nothing sampled: before a release
	@$(TESTS) --whole $(PYTEST_ARGS)

test-compose: engine $(VENV)/.installed-dev ## build the image and try docker-compose.yml; needs a Docker engine
	@$(BIN)/python -m pytest -p no:randomly $(PYTEST_ARGS) tests/compose/suite.py tests/compose/suite_of_monitoring.py

conformance: $(VENV)/.installed-dev ## run the scenarios of clients/conformance with ADAPTER="node my-adapter.js"; without it: ours
	@CONFORMANCE_ADAPTER="$(ADAPTER)" $(BIN)/python -m pytest -p no:randomly tests/cluster/clients/test_conformance.py -k test_scenario $(PYTEST_ARGS)

chaos: $(VENV)/.installed-dev ## cause faults for MINUTES (1) by SEED (1), and prove what README promises; docs/faults.md
	@$(BIN)/python -m chaos --seed $(SEED) --minutes $(MINUTES) $(CHAOS_ARGS)

simulate-faults: $(VENV)/.installed-dev ## the same with a simulated cluster and clock: SEEDS (1000) from SEED (1) on
	@$(BIN)/python -m chaos.simulation --seed $(SEED) --seeds $(SEEDS) $(SIMULATION_ARGS)

fuzz: $(VENV)/.installed-dev ## give every parser damaged inputs: INPUTS (1,000,000) of them, by SEED (1)
	@$(BIN)/python -m chaos.fuzz --seed $(SEED) --inputs $(INPUTS) $(FUZZ_ARGS)

mutants: $(VENV)/.installed-dev ## put each of a list of faults into a copy of the code, and see a test fail; docs/faults.md
	@$(BIN)/python -m chaos.mutants $(MUTANTS_ARGS)

bench: $(VENV)/.installed-dev ## measure against the goals and the peers, over an hour (BENCH="saturated idle" for some; ROUNDS)
	@$(BIN)/python -m benchmarks --write $(if $(ROUNDS),--rounds $(ROUNDS)) $(BENCH)

bench-quick: $(VENV)/.installed-dev ## the same in two minutes, with fewer loads; prints only
	@$(BIN)/python -m benchmarks --quick $(BENCH)

bench-dashboard: $(VENV)/.installed-dev ## measure the fleet page with 10,000 sessions for MINUTES (1; goals are for 10); needs Chromium
	@$(BIN)/python -m benchmarks.page --minutes $(MINUTES)

engine:
	@docker info >/dev/null 2>&1 || { echo "There is no Docker engine here that this user may talk to (docker info)." >&2; exit 3; }
	@docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 || \
		{ echo "There is neither docker compose nor docker-compose here." >&2; exit 3; }

env: ## make .env for docker compose, with secrets of its own; adds what an existing one lacks
	@deploy/make-env

lint: $(VENV)/.installed-dev ## check format, style, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python clients/js/bundle.py --check
	$(BIN)/python dashboard/build.py --check
	$(BIN)/python dashboard/build.py --lint

format: $(VENV)/.installed-dev ## format the code and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

client-js: $(VENV)/bin/python ## build the JavaScript client that nodes serve to pages, after a change of it; needs Node.js
	@$(BIN)/python clients/js/bundle.py

dashboard: $(VENV)/bin/python ## build the dashboard that nodes serve at /dashboard, after a change of it; needs Node.js 20
	@$(BIN)/python dashboard/build.py

test-dashboard: $(VENV)/bin/python ## run the dashboard's own tests, and compare its build; needs Node.js 20
	@$(BIN)/python dashboard/build.py --test

pictures: $(VENV)/.installed-dev ## take the pictures of the dashboard in docs/pictures anew; needs Chromium
	@$(BIN)/python dashboard/pictures.py

lock: $(VENV)/.installed-dev ## write the lock files anew
	$(LOCK_WITH) pyproject.toml clients/python/pyproject.toml --group build -o requirements.lock
	$(LOCK_WITH) pyproject.toml clients/python/pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	$(LOCK_WITH) benchmarks/peers/requirements.in -c requirements-dev.lock -o benchmarks/peers/requirements.lock

release: $(VENV)/.installed-dev ## build wheels, sdists, npm package and bill of materials into dist, of what is committed
	@test -z "$$(git status --porcelain 2>&1)" || { echo "Commit first: a release is what a commit says." >&2; exit 3; }
	@rm -rf dist
	@PATH="$(abspath $(BIN)):$$PATH" deploy/release dist
	@cd clients/js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm pack --silent --pack-destination ../../dist

clean: ## remove .venv, caches and builds (muster-data stays)
	rm -rf $(VENV) build dist clients/js/dist clients/js/node_modules dashboard/node_modules benchmarks/build benchmarks/peers/*/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find muster service workers chaos clients tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Muster needs Python 3.11 or newer, and $(PYTHON) is " \
		+ sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml clients/python/pyproject.toml hatch_build.py service/native/reader.c | $(VENV)/bin/python
	@echo "Installing what requirements.lock names into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e . -e clients/python
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "Installing what requirements-dev.lock names into $(VENV) (once) ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
