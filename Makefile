# `make demo` and `make test` do all their set-up on a machine with Python 3.11+, git, tmux, node and npm.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN = $(VENV)/bin
SOURCES = $(shell find harnex recipes -type f -not -path '*/__pycache__/*') GUIDE.md AGENTS-GUIDE.md README.md pyproject.toml

.PHONY: demo test test-all lint unit e2e real bench picture install clean agents

demo: install ## the main job, start to end, on the bundled agent
	$(BIN)/harnex demo

test: install agents ## everything but the linters; the real agent CLIs are installed into a cache
	$(BIN)/python tests/run.py

test-all: install agents ## the same with what `make test` leaves out: more cells of the same tables
	HARNEX_TEST_ALL=1 HARNEX_TEST_LATE=1 $(BIN)/python tests/run.py

lint: $(VENV)/.deps ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/house.py

unit: install
	$(BIN)/pytest tests/unit -n auto

e2e: install
	$(BIN)/pytest tests/e2e -n 4

real: install agents
	$(BIN)/pytest tests/real -n 2

bench: install ## figures, as ratios within one run
	$(BIN)/python benchmarks/run.py

picture: install ## the picture of the README, drawn anew
	$(BIN)/python docs/picture.py

agents: $(VENV)/.deps
	$(BIN)/python tests/real/agents.py

install: $(VENV)/.installed

$(VENV)/.deps: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

# The package as a user gets it: a wheel, not the source tree.
$(VENV)/.installed: $(VENV)/.deps $(SOURCES)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --force-reinstall .
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
