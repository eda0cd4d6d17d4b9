PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test check bench soak lock clean

# The environment, exactly as locked (the lock is complete, so pip resolves nothing); built again
# only when the lock changes.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: $(READY)
	$(BIN)/antiphon demo $(ARGS)

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -P -m pytest -n 2 --dist worksteal $(ARGS)

check: test

bench: $(READY)
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

SEEDS ?= 2000
FIRST_SEED ?= 1
SCALE ?= 4
soak: $(READY)
	ANTIPHON_TEST_SCALE=$(SCALE) $(BIN)/python -m tests.experiments.simulations
	$(BIN)/python -m tests.rig.soak --seeds $(SEEDS) --first-seed $(FIRST_SEED)

lock: $(READY)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --generate-hashes --no-header --python-version 3.11 \
		--all-extras --quiet --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
