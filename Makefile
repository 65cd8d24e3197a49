# tickloop: `make` lists the targets. The machine needs CPython 3.11, make and a C compiler.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell command -v python3.11 || echo python3)
UV_WANTED := 0.13.9
BIN := .venv/bin
WORKERS ?= 2
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help
help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: setup
setup:  ## Everything that the other targets need, into .venv and .make
	@PYTHON='$(PYTHON)' UV_WANTED='$(UV_WANTED)' tools/setup.sh

.PHONY: demo
demo: setup  ## The whole chain on a real recording, then one screen of results
	@$(BIN)/python main.py demo

.PHONY: ui
ui: setup  ## Dagster's and MLflow's pages, on loopback
	@$(BIN)/python main.py ui

.PHONY: test
test: setup  ## All tests but the acceptance group
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m 'not acceptance' $(ARGS)

.PHONY: acceptance
acceptance: setup  ## Real processes on real recordings
	@$(BIN)/python -m pytest -q -m acceptance tests/acceptance $(ARGS)

.PHONY: lint
lint: setup  ## Format, lint, types, layers, index addresses
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/index_addresses.py

.PHONY: peers
peers: setup  ## What the benchmarks, and a few tests, compare us with
	@.make/uv/bin/uv export --quiet --frozen --no-emit-project --prune torch --group bench | \
		VIRTUAL_ENV=.venv .make/uv/bin/uv pip install --quiet --no-deps --require-hashes --requirements -

.PHONY: bench
bench: peers  ## Every benchmark, beside its peer in the same run (ARGS="--json", "--save", or names)
	@$(BIN)/python tools/bench.py $(ARGS)

.PHONY: docs
docs: setup  ## Write the generated pages: settings, features, parameters, metrics, figures, licences
	@$(BIN)/python tools/configuration_docs.py
	@$(BIN)/python tools/features_docs.py
	@$(BIN)/python tools/model_parameters.py
	@PYTHONPATH=. $(BIN)/python tools/metrics_docs.py
	@$(BIN)/python -m tools.performance_docs
	@PYTHONPATH=. $(BIN)/python tools/grafana_dashboard.py
	@$(BIN)/python -m tools.licences

.PHONY: audit
audit: setup  ## Known vulnerabilities of the locked packages, by OSV; fails where nobody answers
	@$(BIN)/python tools/audit.py $(ARGS)

.PHONY: lock
lock: setup  ## Resolve anew and write uv.lock without index addresses
	@env -u UV_FIND_LINKS -u PIP_FIND_LINKS .make/uv/bin/uv lock --python '$(PYTHON)' $(ARGS)
	@$(BIN)/python tools/strip_lock.py uv.lock
