# Needs Linux, python3 >= 3.11 with venv and pip, and make; everything else is installed into .venv.
PYTHON ?= python3
WORKERS ?= 4
BIN := .venv/bin
PYTEST := $(BIN)/pytest
SIDE_BY_SIDE := -n $(WORKERS) --dist loadgroup -m 'not soak'

.PHONY: setup linux demo test unit parts again soak interpreters coverage lint types actionlint bench bench-peers picture clean

setup: .venv/.made

.venv/.made: pyproject.toml constraints.txt | linux
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed, this is %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "error: $(PYTHON) has no venv: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv, once: about a minute" >&2
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

linux:
	@[ "$$(uname -s)" = Linux ] || { echo "error: karafka-ops needs Linux, this is $$(uname -s)" >&2; exit 1; }

demo: setup
	$(BIN)/inv sandbox.demo

# The quick half first: what breaks there need not wait for the other.
test: unit parts

unit: setup
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit

# On real parts: processes, Kafka, SSH, systemd, supervisor.
parts: setup
	$(PYTEST) $(SIDE_BY_SIDE) tests/contract tests/integration tests/acceptance

# What failed the last time, by itself: three tests at most.
again: setup
	$(BIN)/python -m tests.again

# Fleets under load, for minutes: one after the other, for side by side they would measure each other.
soak: setup
	$(PYTEST) -m soak

# The suites on every interpreter that the machine has: 3.9 and later for what runs on hosts, 3.11 and later for all.
interpreters: setup
	$(BIN)/python -m tests.interpreters --jobs 2

# Through every process that tests start, also over SSH.
coverage: setup
	$(BIN)/python -m tests.labs.measured $(SIDE_BY_SIDE)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy

# A further check of GitHub's pipeline; it needs Go.
actionlint: setup
	GOBIN=$(CURDIR)/$(BIN) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

bench: setup
	$(BIN)/python -m bench

bench-peers: setup
	$(BIN)/python -m bench.peers

# The pictures in README and docs, and what they are drawn from: a real restart under load.
picture: setup
	$(BIN)/inv sandbox.demo --picture docs/pictures

clean:
	rm -rf .venv .venvs .peers .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
