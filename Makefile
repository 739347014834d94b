# What this needs of a machine: make, and a Python from 3.11 to 3.14 that can make virtual environments.
# Everything else is installed into .venv from requirements.lock. A second run of a target repeats no set-up.

VENV := .venv
PY := $(VENV)/bin/python
BALIN := $(VENV)/bin/balin
PIP_INSTALL := $(PY) -m pip install --disable-pip-version-check --no-input --quiet

TEST_MODEL := smollm2:135m
DEMO_MODEL := qwen2.5-coder:1.5b

.PHONY: help setup demo test lint format types imports lock clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile
	@echo "  PYTHON=python3.12 (or a path) chooses the Python that .venv is made with."

demo: setup  ## read ten Persian transcripts with a small model, by both routes, and score them
	$(BALIN) models pull $(DEMO_MODEL)
	$(BALIN) demo

test: setup  ## all tests, those with a small real model too
	$(BALIN) models pull $(TEST_MODEL)
	$(PY) -m pytest

lint: setup  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: setup  ## ruff: put right what it can
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: setup  ## mypy, strict on the package
	$(PY) -m mypy
	$(PY) -m mypy tests

imports: setup  ## import-linter: which folder may import which
	$(VENV)/bin/lint-imports

setup: $(VENV)/.balin  ## .venv with the locked packages and balin itself, nothing more

# The lock is resolved on the oldest Python, whose versions the newer ones can install too; not the other way round.
lock: $(VENV)/.packages  ## write requirements.lock anew from pyproject.toml; UPGRADE=1 takes newer versions as well
	@$(PY) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	    echo "make lock: .venv must be of Python 3.11, the oldest that Balin supports: make clean, then make lock PYTHON=python3.11" >&2; exit 2; }
	CUSTOM_COMPILE_COMMAND="make lock  (on Linux x86_64; wheels for Python 3.11 to 3.14)" \
	    $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --extra dev --no-build-isolation \
	    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --pip-args "--only-binary=:all:" \
	    $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml

clean:  ## remove .venv, caches and builds; runs and downloaded models stay
	rm -rf $(VENV) build dist balin.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment knows its own place and its Python: where either has moved, it is made again.
ifneq ($(shell $(PY) -c 'print(open("$(VENV)/.place").read())' 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.place
endif

$(VENV)/.place:
	@rm -rf $(VENV); found=; seen=; lacking=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python3.14); do \
	    version=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue; \
	    seen="$$seen $$python is $$version;"; \
	    case $$version in 3.11|3.12|3.13|3.14) ;; *) continue ;; esac; \
	    "$$python" -c 'import ensurepip, venv' 2>/dev/null || { lacking="$${lacking:-$$version}"; continue; }; \
	    found=$$python; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$lacking" ]; then \
	    echo "Balin needs a Python that can make virtual environments, and this Python $$lacking has no venv or ensurepip." >&2; \
	    echo "On Debian or Ubuntu: sudo apt install python$$lacking-venv. Then run make again." >&2; exit 2; \
	elif [ -z "$$found" ]; then \
	    echo "Balin needs Python 3.11, 3.12, 3.13 or 3.14. Found:$${seen:- none}" >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; \
	fi; \
	echo "Making $(VENV) with $$found"; \
	"$$found" -m venv $(VENV) && pwd -P > $@

$(VENV)/.packages: requirements.lock $(VENV)/.place
	@echo "Installing the locked packages (wheels only, about 360 MB, once)"
	@$(PIP_INSTALL) --require-hashes --only-binary=:all: --requirement requirements.lock || { \
	    echo "The locked packages could not be installed; pip says why above. Without an index, give pip a folder of the wheels:" >&2; \
	    echo "PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels make $(MAKECMDGOALS)" >&2; exit 1; }
	@touch $@

$(VENV)/.balin: pyproject.toml __init__.py $(VENV)/.packages
	@PYTHONWARNINGS=ignore $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
