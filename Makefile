# Every target makes the environment in .venv first, if it is missing or older than pyproject.toml.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := experiments,clip,hub,stream,wandb,test,docs

.PHONY: env demo test check lint types wheel bench portability
.PHONY: accelerator docs docs-check notebooks release-check reliability

env: .venv/.made

.venv/.made: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "infojax needs Python 3.11 or newer; use make PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

# Figure 7 of Song et al. 2024: a few minutes on two cores. An interrupted demo goes on.
demo: env
	$(BIN)/python -m launch

# Whole files on each process: what a file compiles serves its tests.
test: env
	$(BIN)/python -m pytest -q --numprocesses=auto --maxprocesses=4 --dist=loadfile

check: lint types test wheel

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: env
	$(BIN)/mypy

# The wheel holds the library alone, and works with its base dependencies alone.
wheel: env
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --quiet --wheel --outdir build/wheel .
	$(BIN)/python -m venv build/wheel/env
	build/wheel/env/bin/python -m pip install --quiet build/wheel/*.whl
	$(BIN)/python tests/check_wheel.py build/wheel

# The documentation site, in build/docs/html; a warning is an error. Notebooks run when they change.
docs: env
	$(BIN)/python -m sphinx -W --keep-going -q -d build/docs/doctrees $(ARGS) docs build/docs/html
	@echo "make docs: python3 -m http.server --directory build/docs/html"

# The site in headless Chromium: phone and desktop, light and dark.
docs-check: docs
	$(BIN)/python -m pytest -q -m slow tests/docs

# Opens the notebooks in Jupyter; what is changed there is saved to their text.
notebooks: env .venv/.notebooks
	$(BIN)/jupytext --quiet --sync notebooks/*.py
	PYTHONPATH="$(CURDIR)" $(BIN)/jupyter lab notebooks

.venv/.notebooks: pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS),notebooks]'
	touch $@

# Wheel and source distribution in clean environments, on the oldest and the newest Python and jax.
release-check: env
	$(BIN)/python tests/check_release.py $(ARGS)

# The mathematics under the kernels of other processors: rounding differs, results must not.
portability: env
	$(BIN)/python tests/portability.py $(ARGS)

# Everything that is run on a GPU, in seconds on a CPU; on a machine with a GPU, docs/accelerator.md.
accelerator: env .venv/.bench
	$(BIN)/python -m benchmarks.accelerator $(ARGS)

# Faults in runs of every experiment: kills, full disks, damaged files; several processes, of which
# some are killed; large runs. Minutes per experiment. With ARGS, only the first kind is tried.
reliability: env
	$(BIN)/python -W ignore -m tests.reliability $(ARGS)
	$(if $(ARGS),,$(BIN)/python -W ignore -m tests.reliability_processes)
	$(if $(ARGS),,$(BIN)/python -m tests.reliability_load)

bench: env .venv/.bench
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks $(ARGS)

.venv/.bench: pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS),bench]'
	touch $@
