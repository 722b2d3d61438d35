# The two commands of the README are `make demo` and `make test`. Everything is installed into .venv; no root is needed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test faults check format lock clean

demo: .venv/.demo
	@$(BIN)/oneshelf demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(RESET)),--reset)

test: .venv/.dev
	$(BIN)/python -m pytest $(ARGS)

faults: .venv/.dev
	$(BIN)/python -m pytest -m slow tests/integration $(ARGS)

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/oneshelf mappings check

format: .venv/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The locks hold exact versions with hashes and no index addresses. --no-deps: they are complete, and pip can't match
# the hash of a requirement that another one names with an extra.
# A venv without pip is what is left where Python's venv package was missing: made anew.
.venv/.made:
	@test -x .venv/bin/pip || { rm -rf .venv && $(PYTHON) -m venv .venv; }
	@touch $@

.venv/.demo: requirements.lock pyproject.toml | .venv/.made
	$(PIP) install --quiet --no-deps --require-hashes -r requirements.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/.made
	$(PIP) install --quiet --no-deps --require-hashes -r requirements-dev.lock
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@ .venv/.demo

# Needs uv. Run it to take up new versions; review what changed.
lock:
	uv pip compile pyproject.toml --group build --python-version 3.11 --universal --generate-hashes \
	    --no-annotate --no-header --upgrade -q -o requirements.lock
	uv pip compile pyproject.toml --group build --group dev -c requirements.lock --python-version 3.11 --universal \
	    --generate-hashes --no-annotate --no-header --upgrade -q -o requirements-dev.lock

clean:
	rm -rf .venv .oneshelf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
