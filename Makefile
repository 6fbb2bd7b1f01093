# `make` alone lists the verbs. Every verb sets up what it needs.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := actors channels domain ops protos servers simulator storage
# A deployment is a dozen processes that import the same files: they are compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup run serve test check protos clients bench clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## build .venv with the paydesk command in it

$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Paydesk needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=python3.x."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m compileall -q -j 0 $(SOURCES)
	@touch $(READY)

run: setup ## a day of orders through a lying sandbox, with a verdict (about a minute)
	$(BIN)/paydesk demo $(if $(ORDERS),--orders $(ORDERS))

serve: setup ## keep the system up, and print how to call it
	$(BIN)/paydesk serve

test: setup ## all tests (under 10 minutes on 2 cores)
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(ARGS)

check: setup ## style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

protos: setup ## generate the wire code, and check the .proto files
	$(BIN)/python -m protos.generate
	$(BIN)/python -m protos.generate --image build/protos.binpb
	$(BIN)/buf lint build/protos.binpb --config protos/buf.yaml
	$(BIN)/buf breaking build/protos.binpb --against protos/released.binpb --config protos/buf.yaml

clients: setup ## clients that others published, against the sandbox's wires (needs node for some)
	$(BIN)/python -m tests.clients.run $(ARGS)

bench: setup ## all benchmarks, one after the other
	$(BIN)/paydesk bench all

clean: ## remove .venv, the data directory and caches
	rm -rf $(VENV) .paydesk build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
