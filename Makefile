# Works with Python 3.11 or newer, pip and make; uses uv where it is installed.
VENV   ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
             $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV     := $(shell command -v uv 2>/dev/null)
BIN    := $(VENV)/bin
JOBS   ?= 2
# Tests of how XLA compiles, and of what single precision is worth: with its own flags, not those of tests/conftest.py.
KERNELS = $(addprefix tests/engines/test_,kernel.py routes.py square_root_single.py)

# What breaks first with a newer Python, JAX or ArviZ: how loops and kernels are compiled, panels, streams, fits and their
# files, plots, tables, the notebook. As a user's programs are compiled, without the flags of tests/conftest.py.
NEWEST  = $(KERNELS) $(addprefix tests/,$(addprefix engines/test_,lanes.py written.py side_by_side.py) \
            $(addprefix api/test_,blocks.py streams_general.py) $(addprefix inference/test_,fit.py quick.py) \
            $(addprefix results/test_,containers.py plots.py) $(addprefix data/test_,files.py time.py bind.py) \
            test_notebook.py test_public.py)
NEWEST_VENV   ?= .venv-newest
NEWEST_PYTHON ?= $(shell for v in 15 14 13 12 11; do for p in python3.$$v "$(HOME)"/.pyenv/versions/3.$$v.*/bin/python; do \
                    $$p -c 'import sys' 2>/dev/null && { echo $$p; exit; }; done; done)

# What `make test` leaves to `make test-all`: see tests/thorough.txt.
SELECT = not slow and not thorough

.PHONY: help setup test test-all test-newest lint types tests demo check docs bench compare clean

help:
	@echo "make demo    read a model, check it, fit it to the Nile, print and plot a forecast"
	@echo "make test    ruff, mypy and the tests"
	@echo "make test-all  the same, with the tests that take longer (tests/thorough.txt)"
	@echo "make test-newest  some of them with the newest Python found and the newest releases (4 minutes)"
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

test-newest:
	@test -n "$(NEWEST_PYTHON)" || { echo "no Python 3.11 or newer found: make test-newest NEWEST_PYTHON=..." >&2; exit 2; }
ifdef UV
	@test -x $(NEWEST_VENV)/bin/python || $(UV) venv --quiet --python "$(NEWEST_PYTHON)" $(NEWEST_VENV)
	$(UV) pip install --quiet --upgrade --python $(NEWEST_VENV)/bin/python --editable '.[dev]'
else
	@test -x $(NEWEST_VENV)/bin/python || $(NEWEST_PYTHON) -m venv $(NEWEST_VENV)
	$(NEWEST_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
	  --editable '.[dev]'
endif
	@$(NEWEST_VENV)/bin/python -c "import platform as p, jax, arviz; print('Python', p.python_version(), 'JAX', jax.__version__, 'ArviZ', arviz.__version__)"
	XLA_FLAGS= $(NEWEST_VENV)/bin/python -m pytest -n $(JOBS) --dist worksteal -q -m '$(SELECT)' $(NEWEST)

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
