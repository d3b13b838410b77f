# Needs make and a Python; everything else is installed into .venv on first use, with the versions of constraints.txt.
# All paths are relative, so that the path of the clone may contain spaces.

PYTHON ?= python3
# Where PyTorch has builds without CUDA, a tenth of the size. What cannot be reached is passed over: pip then takes
# the same version from where it takes everything else.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.DEFAULT_GOAL := help
.PHONY: help verify test fuzz bench docs lint clean

# A failed installation takes its target along, and so is tried again from the start.
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1 - /p' Makefile
	@echo "ARGS is passed on, as in: make test ARGS='-k readme'; PYTHON names another interpreter for .venv."

verify: .venv/pyvenv.cfg ## put every statement on trial
	.venv/bin/python -m proofs_checks verify $(ARGS)

test: .venv/tests ## run the tests
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist worksteal $(ARGS)

fuzz: .venv-fuzz/pyvenv.cfg ## search for failures with a coverage-guided engine: ten minutes, or ARGS='--minutes 60'
	OPENBLAS_NUM_THREADS=1 .venv-fuzz/bin/python -m tests.fuzz $(ARGS)

bench: .venv/bench ## time it beside PyTorch and others: five minutes, or half an hour with ARGS='--profile full'
	.venv/bin/python -m benchmarks run $(ARGS)

docs: .venv/docs ## build the documentation site, docs/_build/html; links inside it are checked
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html $(ARGS)

lint: .venv/tests ## check style, format and types
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

clean: ## remove the environment and everything else that was made here
	rm -rf .venv .venv-fuzz .altgrad .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist docs/_build docs/modules *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/pyvenv.cfg: pyproject.toml constraints.txt
	$(if $(fault),$(error $(fault)))
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet -c constraints.txt setuptools
	.venv/bin/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[fast]'

.venv/tests: .venv/pyvenv.cfg
	.venv/bin/python -m pip install --quiet --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) -c constraints.txt torch
	.venv/bin/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[tests]'
	touch $@

.venv/bench: .venv/tests
	.venv/bin/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[tests,bench]'
	touch $@

.venv/docs: .venv/pyvenv.cfg
	.venv/bin/python -m pip install --quiet --no-build-isolation -c constraints.txt -e '.[docs]'
	touch $@

# The engine needs an earlier Hypothesis, and so an environment of its own.
.venv-fuzz/pyvenv.cfg: pyproject.toml constraints-fuzz.txt
	$(if $(fault),$(error $(fault)))
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet -c constraints-fuzz.txt setuptools
	.venv-fuzz/bin/python -m pip install --quiet --no-build-isolation -c constraints-fuzz.txt -e '.[fast]' filelock hypofuzz pytest

# Why $(PYTHON) cannot make .venv; empty if it can.
fault = $(shell \
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "$(PYTHON) is no Python 3.11 or later: install one (apt install python3, brew install python)" \
			"or name one (make PYTHON=python3.12 ...)"; \
	elif ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments: install its venv module (apt install python3-venv)"; \
	fi)
