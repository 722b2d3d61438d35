# The two commands of the README are `make demo` and `make test`. Everything is installed into .venv; no root is needed.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test external faults rfc-sockets kills model-check mutants bench bench-race soak check format lock clean

demo: .venv/.demo
	@$(BIN)/oneshelf demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(RESET)),--reset)

test: .venv/.dev
	$(BIN)/python -m pytest $(ARGS)

# What the hub asks of its database, on Debian's PostgreSQL (15) in a cluster of its own; pg_virtualenv is in the package
# postgresql-common. With ONESHELF_TEST_DATABASE_URL `make test` runs on that server.
external: .venv/.dev
	pg_virtualenv -o max_connections=300 env ONESHELF_TEST_DATABASE_URL=postgresql:///postgres \
	    $(BIN)/python -m pytest tests/model tests/integration tests/api tests/unit/hub tests/unit/oneshelf $(ARGS)

faults: .venv/.dev
	$(BIN)/python -m pytest -m "slow or not slow" tests/integration/test_*fault*.py $(ARGS)

# A real RFC library on real sockets. It lies beside .venv, never in it: it is no dependency of Oneshelf (docs/adr).
rfc-sockets: .venv/.dev .venv-rfc/.made
	PYTHONPATH=.venv-rfc $(BIN)/python -m pytest -n0 tests/rfc_sockets/sockets.py $(ARGS)

.venv-rfc/.made: tests/rfc_sockets/requirements.txt | .venv/.made
	rm -rf .venv-rfc
	$(PIP) install --quiet --no-deps --require-hashes --target .venv-rfc -r tests/rfc_sockets/requirements.txt
	@touch $@

# One after the other: how soon a killed process is back is measured.
kills: .venv/.dev
	$(BIN)/python -m pytest -m slow -n0 tests/kills $(ARGS)

# The rule of available stock against 100,000 random histories and all of up to six events; the database against it; and
# the whole hub in a small town where anything may happen.
model-check: .venv/.dev
	ONESHELF_MODEL_HISTORIES=100000 ONESHELF_MODEL_DEPTH=6 ONESHELF_DATABASE_HISTORIES=2000 \
	ONESHELF_MACHINE_HISTORIES=100 \
	    $(BIN)/python -m pytest -n auto tests/model tests/integration/test_rule_in_the_database.py \
	    tests/integration/test_machine.py $(ARGS)

# Each sentence of the stock rules is broken once; the output names the test that noticed.
mutants: .venv/.dev
	$(BIN)/python -m pytest -m "slow or not slow" -n auto --dist load tests/mutants $(ARGS)

bench: .venv/.dev
	$(BIN)/python -m benchmarks $(ARGS)

# A million attempts to reserve few pieces while servers are killed.
bench-race: .venv/.dev
	$(BIN)/python -m benchmarks race $(ARGS)

# An hour; make soak SOAK_MINUTES=10 for ten minutes, make soak ARGS=--quick for a short look that keeps no figures.
soak: .venv/.dev
	$(BIN)/python -m benchmarks soak $(ARGS)

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
	rm -rf .venv .venv-rfc .oneshelf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
