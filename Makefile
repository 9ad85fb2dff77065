# Thin on purpose: what a command does stands in pyproject.toml, .ci/run and the programs themselves.

VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: demo test lint types imports unit conformance integration acceptance docs bench bench-ledger chaos celery-suite lock clean

demo: $(VENV)/.runtime  ## Install, run the whole way on real data, print the report.
	$(BIN)/fluxora demo

test: lint types imports  ## Install, lint, types, import contract, every test; files of tests JOBS at a time.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 25

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.development
	$(BIN)/mypy

imports: $(VENV)/.development
	$(BIN)/lint-imports

unit conformance integration acceptance docs: $(VENV)/.development
	$(BIN)/python -m pytest tests/$@

chaos: $(VENV)/.development  ## The long form of the runs in which processes are killed.
	FLUXORA_TEST_CHAOS=long $(BIN)/python -m pytest -s -m chaos

bench: $(VENV)/.development  ## What it costs beside plain Celery.
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.calls

bench-ledger: $(VENV)/.development  ## A million dead letters on each database: pages, plans, ingest, replay; half an hour.
	$(BIN)/python -m benchmarks.ledger

celery-suite: $(VENV)/.development  ## Celery's own integration suite, with install(app) and without; an hour.
	$(BIN)/python -m tests.celery_suite.run

lock: $(VENV)/.development  ## Pin every dependency anew.
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --all-extras --group dev \
		--annotation-style line --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		-o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --constraint requirements-dev.lock \
		--annotation-style line --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		-o requirements.lock pyproject.toml

clean:  ## Remove the environment, caches and embedded state of this checkout.
	rm -rf $(VENV) .fluxora dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find fluxora_tasks workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:  # the last thing that venv makes: half an environment is made again
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(BIN)/pip pyproject.toml requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check -c requirements.lock -e '.[all]'
	touch $@

$(VENV)/.development: $(BIN)/pip pyproject.toml requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@ $(VENV)/.runtime
