# Works with Python 3.11 or newer, pip and make; uses uv where it is installed.
VENV   ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV     := $(shell command -v uv 2>/dev/null)
BIN    := $(VENV)/bin
JOBS   ?= 2
# Tests of how XLA compiles, and of what single precision is worth: with its own flags, not those of tests/conftest.py.
KERNELS = $(addprefix tests/engines/test_,kernel.py routes.py square_root_single.py)

# What `make test` leaves to `make test-all`: see tests/thorough.txt.
SELECT = not slow and not thorough

.PHONY: help setup test test-all lint types tests demo check docs bench compare clean

help:
	@echo "make demo    read a model, check it, fit it to the Nile, print and plot a forecast"
	@echo "make test    ruff, mypy and the tests"
	@echo "make test-all  the same, with the tests that take longer (tests/thorough.txt)"
	@echo "make setup   the environment for both, in $(VENV)"
	@echo "make check   check every model that ships with ssmlang"
	@echo "make docs    write the pages that are made from the code"
	@echo "make bench   how long the commands take to start, and a whole fit"
	@echo "make compare exact engines beside their peers, and docs/performance.md (half an hour)"

setup: $(VENV)/.dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "ssmlang needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
ifdef UV
	$(UV) venv --quiet --python "$(PYTHON)" $(VENV)
else
	$(PYTHON) -m venv $(VENV)
endif

# What a user needs, and what a developer needs on top of it.
$(VENV)/.user: pyproject.toml | $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --editable .
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
endif
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
ifdef UV
	$(UV) pip install --quiet --python $(BIN)/python --editable '.[dev]'
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
endif
	@touch $@ $(VENV)/.user

test: lint types tests

test-all: SELECT = not slow
test-all: lint types tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .

types: $(VENV)/.dev
	$(BIN)/mypy

tests: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) --dist worksteal -q -m '$(SELECT)' $(foreach f,$(KERNELS),--ignore $(f))
	XLA_FLAGS= $(BIN)/pytest -n $(JOBS) -q -m '$(SELECT)' $(KERNELS)

demo: $(VENV)/.user
	@mkdir -p build/demo
	$(BIN)/ssmlang fit stdlib/models/nile.ssm --data nile --steps 12 --out build/demo/nile.nc
	$(BIN)/ssmlang forecast build/demo/nile.nc --steps 12 --plot build/demo/forecast.png

check: $(VENV)/.user
	$(BIN)/ssmlang check stdlib/*.ssm stdlib/models/*.ssm

docs: $(VENV)/.dev
	$(BIN)/python -m docs.make_errors
	$(BIN)/python -m docs.make_python

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.nile_fit

compare: $(VENV)/.dev
	$(BIN)/python -m benchmarks.exact

clean:
	rm -rf build dist .cache .pytest_cache .ruff_cache .mypy_cache
