# Needs python3 >= 3.11 with venv and pip; everything else is installed into .venv.
PYTHON ?= python3
WORKERS ?= 3
BIN := .venv/bin

.PHONY: setup demo test again soak lint types actionlint bench bench-peers picture clean

setup: .venv/.made

.venv/.made: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/inv sandbox.demo

test: setup
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m 'not soak'

# What failed the last time, by itself; with a worker, for pytest-xdist's groups are part of what it is known by.
again: setup
	$(BIN)/pytest -n 1 --dist loadgroup -m 'not soak' --last-failed --last-failed-no-failures none

# Fleets under load, for minutes: one after the other, for side by side they would measure each other.
soak: setup
	$(BIN)/pytest -m soak

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: setup
	$(BIN)/mypy

# A further check of GitHub's pipeline that the tests take where it is there; it needs Go.
actionlint: setup
	GOBIN=$(CURDIR)/$(BIN) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

bench: setup
	$(BIN)/python -m bench

bench-peers: setup
	$(BIN)/python -m bench.peers

# The picture in the README: the demo's console, exported as SVG.
picture: setup
	$(BIN)/inv sandbox.demo --picture docs/demo.svg

clean:
	rm -rf .venv .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis
