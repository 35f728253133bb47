# make book: environment, notebooks, numbers, pages.    make test: environment, tests.
# Both work from a bare clone and, on a second run, do again only what has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
PROFILE ?= cpu
WORKERS ?= 2
CHAPTERS ?= 1

# Threads that wait give up their core: on a shared machine the libraries' pools would spin against each other.
export OMP_WAIT_POLICY ?= passive

VENV := .venv
RUN := $(VENV)/bin/python
# Processes that share the cores compute on one thread each. All tests of a file run in the same process, because its
# fixtures serve them all. Files in the order that tests/conftest.py gives them: the slow ones first.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
LOCK := requirements/lock.txt
INSTALLED := $(VENV)/.installed

.PHONY: help
help:
	@echo "make book      run the notebooks and build the book into book/_build/html (PROFILE=$(PROFILE))"
	@echo "make check     ruff (rules and format) and mypy; .pre-commit-config.yaml runs the same"
	@echo "make test      run the tests; every notebook is run in the small profile 'smoke'"
	@echo "make coverage  only the tests of the method and of the evaluation, with the share of the code that they run"
	@echo "make package   build wheel and source distribution, and segment with each outside of this folder"
	@echo "make env       only create the environment $(VENV)"
	@echo "make lock      resolve the newest versions anew and write $(LOCK)"
	@echo "make clean     remove what 'make book' made; the environment and downloads stay"
	@echo
	@echo "PROFILE=smoke|cpu|full|paper sets the sizes of 'make book'; PYTHON=python3.12 the interpreter;"
	@echo "WORKERS=2 the processes that run tests; CHAPTERS=1 the notebooks that 'make book' runs at the same time, whose"
	@echo "steps then take longer than the pages would have it."

.PHONY: env
env: $(INSTALLED)

# The stamp is newer than what it depends on, so that nothing is installed again that has not changed.
$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "The locked versions need Python 3.11 to 3.13: try make PYTHON=python3.12" >&2; exit 1; }
# A Python without ensurepip cannot put pip into the environment; uv fills it then, or install.sh says what is missing.
	test -x $(RUN) || $(PYTHON) -m venv $(VENV) || $(PYTHON) -m venv --without-pip $(VENV)
# PyTorch first: what is installed after it then finds it there and asks for no other build.
	requirements/install.sh $(RUN) "$$(grep '^torch==' $(LOCK))"
	requirements/install.sh $(RUN) -r $(LOCK)
	requirements/install.sh $(RUN) --no-deps -e .
# Bytecode of all packages at once. Some of their files are templates and not Python, which is no error here.
	$(RUN) -m compileall -qq -j $(WORKERS) $(VENV)/lib || true
	touch $@

.PHONY: book
book: env
	$(RUN) book/build.py all --profile $(PROFILE) --at-once $(CHAPTERS)

# In this order, the quickest first; CI calls this before anything else. What fails is named.
.PHONY: check
check: env
	@$(RUN) -m ruff check --quiet . || { echo "make check: ruff check found something" >&2; exit 1; }
	@$(RUN) -m ruff format --quiet --check . || \
	  { echo "make check: ruff format would change files, named by: $(RUN) -m ruff format --check ." >&2; exit 1; }
	@$(RUN) -m mypy --no-error-summary || { echo "make check: mypy found something" >&2; exit 1; }

# Every test once: those of `coverage` first, then all others, which need no measurement and are quicker without it.
.PHONY: test
test: coverage
	$(PYTEST) --ignore=tests/evaluation --ignore-glob='tests/test_*.py'

# Which modules are measured, and below which share it fails, stands in pyproject.toml.
.PHONY: coverage
coverage: env
	$(PYTEST) tests/test_*.py tests/evaluation --cov

.PHONY: package
package: env
	$(RUN) requirements/check_package.py

.PHONY: lock
lock:
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet "$$(grep '^torch==' $(LOCK))"
	.venv-lock/bin/python -m pip install --quiet -e '.[book,detectors,dev,formats,notebooks,objects,photos,references,test]'
	sed '/^[^#]/d' $(LOCK) > $(LOCK).new
	.venv-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> $(LOCK).new
	mv $(LOCK).new $(LOCK)
	rm -rf .venv-lock

.PHONY: clean
clean:
	rm -rf book/_build book/_executed book/_vendor book/_runtime book/_typesetter book/generated book/results/cpu book/results/smoke
