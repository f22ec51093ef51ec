# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes its own environment in .venv.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo docs test test-long test-all test-core test-lower check dist fuzz bench kills mutants clean

help:
	@echo "make demo      install what is needed and do the main job on real input (some minutes)"
	@echo "make test      install what is needed and run the tests"
	@echo "make test-long  the tests that take long: the commands of the pages, kills, whole studies"
	@echo "make test-all  all tests, those included that take minutes each"
	@echo "make test-lower  hostile files with the oldest versions that pyproject.toml allows (an environment of its own)"
	@echo "make test-core  the tests of the core, without torch and TensorFlow (an environment of its own)"
	@echo "make dist      the wheel and the source distribution, in dist/"
	@echo "make check     lint, format, types, import rules"
	@echo "make fuzz      broken files for every reader: N=20000 of them (a tenth where a case takes long), SEED=1"
	@echo "make bench     the benchmarks: ratios measured side by side"
	@echo "make kills     kill every command 100 times, and see what is left (KILLS=N for another number)"
	@echo "make mutants   put faults into what verdicts rest on, and print those that no test finds (MODULES=PATHS for some)"
	@echo "make docs      the documentation site, into build/site; every warning is an error"
	@echo "make clean     remove the environment and everything generated"

.venv/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	@touch $@

.venv/run: .venv/pip pyproject.toml
	@echo "Installing the run-time packages (PyTorch among them: some GB, some minutes) ..."
	$(BIN)/pip install --quiet --editable '.[torch,digits,report]'
	@touch $@

.venv/dev: .venv/run
	@echo "Installing the development packages (TensorFlow among them) ..."
	$(BIN)/pip install --quiet --editable '.[torch,tensorflow,tflite,art,digits,cluster,seal,services,signing,docs,dev]'
	@touch $@

.venv/docs: .venv/run
	@echo "Installing what the documentation site is built with ..."
	$(BIN)/pip install --quiet --editable '.[torch,digits,docs]'
	@touch $@

demo: .venv/run
	$(BIN)/cae demo --workdir demo

# Two processes of one thread each: on few cores the runtimes' own threads only wait for one another.
# Whichever is through first takes over tests of the other.
# The tests start hundreds of processes, none of which is to compile what it imports, whatever the environment says.
PYTEST := $(BIN)/python -m compileall -q cae_core backends converters cli && \
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 25

test: .venv/dev
	$(PYTEST)

# What is beside the main job and takes over five seconds each. It has to pass before a change lands, as `make test` has.
test-long: .venv/dev
	$(PYTEST) -m "long and not slow"

test-all: .venv/dev
	$(PYTEST) -m ""

.venv-lower/dev: pyproject.toml tests/lower_bounds.py .venv/pip
	@echo "Installing the oldest allowed versions (PyTorch and TensorFlow among them) ..."
	rm -rf .venv-lower
	$(PYTHON) -m venv .venv-lower
	$(BIN)/python tests/lower_bounds.py > .venv-lower/constraints.txt
	.venv-lower/bin/pip install --quiet --constraint .venv-lower/constraints.txt \
		--editable '.[torch,tensorflow,tflite,digits,data,images,seal,services]' 'hypothesis>=6.100' 'pytest>=8.3'
	@touch $@

# Old packages warn about new ones: here a warning is no error.
test-lower: .venv-lower/dev
	.venv-lower/bin/python -m pytest -m "hostile and not slow" -o filterwarnings=default $$(grep -rl "mark.hostile" tests)

# What needs no framework: the core, with NumPy, safetensors and ONNX Runtime alone.
.venv-core/dev: pyproject.toml .venv/pip
	rm -rf .venv-core
	$(PYTHON) -m venv .venv-core
	.venv-core/bin/pip install --quiet --editable '.[images]' 'hypothesis>=6.100' 'in-toto-attestation>=0.9' 'jsonschema>=4.23' 'pytest>=8.3' \
		'pytest-xdist>=3.6' 'scipy>=1.14'
	@touch $@

test-core: .venv-core/dev
	.venv-core/bin/python -m compileall -q cae_core
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv-core/bin/python -m pytest --numprocesses 2 --dist worksteal tests/core

# The same bytes from another folder, in another time zone and under another umask.
dist: .venv/dev
	rm -rf dist
	$(BIN)/python -m hatchling build

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

# Files that nobody has seen before: make fuzz N=20000 SEED=7 READERS="fingerprint npz"
N ?= 300
SEED ?= 1
fuzz: .venv/dev
	$(BIN)/python -m tests.fuzz $(READERS) --cases $(N) --seed $(SEED)

bench: .venv/dev
	$(BIN)/python -m tests.benchmarks

KILLS ?= 100

kills: .venv/dev
	$(BIN)/python -m tests.kills --kills $(KILLS)

mutants: .venv/dev
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants $(MODULES)

docs: .venv/docs
	$(BIN)/sphinx-build -W --keep-going -n -q -E docs build/site
	@echo "build/site/index.html"

clean:
	rm -rf .venv .venv-core .venv-lower demo dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build/site
