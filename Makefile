# Everything lives in one virtual environment; nothing is installed outside it. The default weights go to
# torch's own hub cache, where torchvision looks for them.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
STAMP := $(VENV)/.dreamgan-installed

.DEFAULT_GOAL := help
.PHONY: help setup quickstart compare notebooks test check lint clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z]+):[^#]*## /\1|/' | awk -F'|' '{printf "  make %-11s %s\n", $$1, $$2}'
	@echo "  variables: VENV=$(VENV) (where to install), PYTHON=$(PYTHON) (which Python, 3.11 or newer)"

setup: $(STAMP) ## create the environment, install dreamgan with its test tools, fetch the default weights
	@$(BIN)/python scripts/fetch_default_weights.py

quickstart: setup ## photos -> dream dataset -> training -> runs/quickstart/sheet.png, in some minutes
	$(BIN)/python scripts/quickstart.py

compare: setup ## the sample photos in every way, side by side: runs/compare/report.html, in some minutes
	$(BIN)/python scripts/compare.py --max_side 192 --style_backbone mobilenet_v2 --passes 60 --out runs/compare

notebooks: setup ## run the notebooks and store what they show
	$(BIN)/python scripts/run_notebooks.py

test: setup ## run all tests
	$(BIN)/python -m pytest

lint: $(STAMP) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy dreamgan scripts tests

check: setup lint ## lint, and the tests that take no more than a few seconds each
	$(BIN)/python -m pytest -m "not slow"

clean: ## remove build products and the caches of Python, ruff, mypy and pytest; keeps runs/, data and the environment
	rm -rf build dist .ruff_cache .mypy_cache .pytest_cache *.egg-info
	find . -path ./runs -prune -o -path './$(VENV)' -prune -o -path ./.git -prune -o -type d -name __pycache__ -exec rm -rf {} +

$(STAMP): pyproject.toml
	@if [ ! -x $(BIN)/python ]; then \
	  for candidate in $(PYTHON) python3.13 python3.12 python3.11; do \
	    if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$candidate; break; fi; \
	    if [ $$candidate = $(PYTHON) ]; then \
	      echo "$(PYTHON) is missing or older than Python 3.11; trying python3.13, python3.12 and python3.11" >&2; fi; \
	  done; \
	  if [ -z "$$chosen" ]; then echo "no Python 3.11 or newer found: install one, or say make PYTHON=/path/to/python" >&2; exit 2; fi; \
	  echo "creating $(VENV) with $$chosen"; \
	  $$chosen -m venv $(VENV) || { rm -rf $(VENV); exit 2; }; \
	fi
	@echo "installing dreamgan and what it needs into $(VENV); the first time this takes some minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
