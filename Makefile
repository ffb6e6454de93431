# One set of commands for people and for CI; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers

# What checks web/. Node comes in a wheel, so that the machine needs none.
NODE_MODULES := node_modules
NPM := $(BIN)/npm
PRETTIER := $(BIN)/node $(NODE_MODULES)/prettier/bin/prettier.cjs
PRETTY := web package.json tsconfig.json

# What `make run` passes on, from the command line only: make run AGENT=my_agent/ PORT=9000
RUN_OPTIONS = $(call given,AGENT,$(AGENT)) $(call given,PORT,--port $(PORT)) $(call given,ARGS,$(ARGS))
given = $(if $(filter command,$(firstword $(origin $(1)))),$(2))

# Debian packages of the tests: two browsers and a sound card, recorded human speech, ip for a
# network of its own, and a database.
TEST_PACKAGES := chromium firefox-esr pulseaudio pulseaudio-utils pocketsphinx-testdata alsa-utils iproute2 postgresql

# Tests wait for sound in real time more than they compute, so that two go on at once. In the order
# of the files the short ones are last, so that no process ends much later than the other.
TEST_PROCESSES ?= 2
PYTEST := $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

# The lists are complete, so nothing is resolved: a release of today changes nothing, and no
# version of pip has an opinion of its own. Hashes are checked; what builds the checkout itself is
# locked as well (no build isolation).
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps
INSTALL_CHECKOUT := $(PIP_INSTALL) --no-build-isolation --editable .

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help install run test lint types unit bench bench-bad-days bench-peers format lock clean test-packages venv FORCE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16
	@echo
	@echo "make run AGENT=my_agent/ PORT=9000 ARGS='--show-tools' serves another agent, elsewhere."
	@echo "make PYTHON=python3.12 ... takes another Python (3.11 or later)."

install: $(VENV)/.installed ## the set-up alone: .venv with the locked dependencies and the embedded agent

run: $(VENV)/.installed ## the set-up, then the server on http://localhost:8080
	@exec $(BIN)/python -m rtc_server serve $(RUN_OPTIONS)

test: test-packages $(VENV)/.installed-dev $(NODE_MODULES)/.installed lint types ## everything CI runs: lint, types and all tests
	@$(PYTEST) --numprocesses $(TEST_PROCESSES)

lint: $(VENV)/.installed-dev $(NODE_MODULES)/.installed ## the lock is complete; ruff, the import layers, the format (prettier for web/)
	@$(BIN)/uv pip check --quiet --python $(BIN)/python
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make format mends the format."; exit 1; }
	@$(PRETTIER) --check --log-level=warn $(PRETTY) || { echo "make format mends the format."; exit 1; }
	@$(BIN)/lint-imports --no-logo

types: $(VENV)/.installed-dev $(NODE_MODULES)/.installed ## mypy --strict; tsc --strict for the JSDoc types of web/
	@$(BIN)/mypy
	@$(BIN)/node $(NODE_MODULES)/typescript/bin/tsc

unit: $(VENV)/.installed-dev $(NODE_MODULES)/.installed ## the tests that need no browser and no Debian package
	@$(BIN)/python -m pytest --ignore=tests/browser --ignore=tests/test_packaging.py

bench: $(VENV)/.installed-dev ## the measurements of our own server (a quarter of an hour)
	@$(BIN)/python benches/media_path.py
	@$(BIN)/python -m benches.calls $(BENCH_OPTIONS)
	@$(MAKE) --no-print-directory test-packages && $(BIN)/python -m benches.mouth_to_ear

bench-bad-days: $(VENV)/.installed-dev ## fifty calls on a model that fails at random (six minutes)
	@$(BIN)/python -m benches.bad_days $(BENCH_OPTIONS)

bench-peers: $(VENV)/.installed-dev $(PEERS)/.installed ## ours beside aiortc, Pipecat and FastRTC
	@$(BIN)/python -m benches.calls --peers --output benches/results/peers.json \
		--plot docs/images/performance.svg --document docs/performance.md $(BENCH_OPTIONS)

format: $(VENV)/.installed-dev $(NODE_MODULES)/.installed ## mends what ruff and prettier can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format . ; $(PRETTIER) --write --log-level=warn $(PRETTY)

# UPGRADE=1 takes the newest releases that pyproject.toml allows; else what is locked stays.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'

lock: ## compiles requirements/ from pyproject.toml (UPGRADE=1: newest releases), package-lock.json from package.json
	@test -x $(BIN)/uv -a -x $(NPM) || $(MAKE) --no-print-directory $(VENV)/.installed-dev
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra local --group build --group dev \
		pyproject.toml --output-file requirements/dev.txt
	$(COMPILE) --constraint requirements/dev.txt --no-annotate --extra local --group build \
		pyproject.toml --output-file requirements/local.txt
	$(COMPILE) --constraint requirements/dev.txt --no-annotate \
		pyproject.toml --output-file requirements/run.txt
	$(filter-out --universal,$(COMPILE)) $(if $(UPGRADE),--upgrade) --no-annotate \
		--python-platform x86_64-manylinux_2_28 \
		benches/requirements-peers.in --output-file benches/requirements-peers.txt
	$(NPM) install --package-lock-only --loglevel=error
	@$(MAKE) --no-print-directory $(NODE_MODULES)/.installed
	cp $(NODE_MODULES)/marked/lib/marked.esm.js web/vendor/marked/marked.js
	cp $(NODE_MODULES)/marked/LICENSE web/vendor/marked/LICENSE

clean: ## removes .venv, node_modules and what the tools left
	rm -rf $(VENV) $(PEERS) $(NODE_MODULES) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist test-results

# -- set-up ------------------------------------------------------------------------------

# An environment that does not start (half made, or its Python is gone) is made again.
ifneq ($(shell $(BIN)/python -m pip --version >/dev/null 2>&1 && echo works),works)
UNUSABLE := venv
endif

# A stamp is written last: an installation that was broken off is taken up again.
$(VENV)/.installed: requirements/local.txt pyproject.toml $(UNUSABLE)
	@echo "Installing the locked dependencies into $(VENV) (the first time takes a few minutes)."
	@$(PIP_INSTALL) --require-hashes --requirement requirements/local.txt
	@$(INSTALL_CHECKOUT)
	@touch $@

# dev.txt holds all of local.txt in the same versions.
$(VENV)/.installed-dev: requirements/dev.txt requirements/local.txt pyproject.toml $(UNUSABLE)
	@echo "Installing the locked dependencies into $(VENV) (the first time takes a few minutes)."
	@$(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	@$(INSTALL_CHECKOUT)
	@touch $(VENV)/.installed $@

# npm itself comes with .installed-dev; it runs no script of a package (.npmrc).
$(NODE_MODULES)/.installed: package-lock.json package.json .npmrc | $(VENV)/.installed-dev
	@$(NPM) ci --loglevel=error --no-progress >/dev/null
	@touch $@

# The servers ours is measured against: apart, so that none of theirs is in the way of ours.
$(PEERS)/.installed: benches/requirements-peers.txt
	@echo "Installing the servers to compare with into $(PEERS) (takes a few minutes)."
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
		--require-hashes --requirement $<
	@touch $@

venv:
	@command -v $(PYTHON) >/dev/null || { \
		echo "$(PYTHON) is not there: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and $(PYTHON) is older: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make environments: apt-get install python3-venv"; exit 1; }
	@test ! -e $(VENV) -o -e $(VENV)/pyvenv.cfg || { \
		echo "$(VENV) is there and is no Python environment: remove it first."; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

test-packages:
	@missing=$$(for package in $(TEST_PACKAGES); do \
		dpkg-query --show --showformat='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| echo $$package; done); \
	test -z "$$missing" && exit 0; \
	set -- $$missing; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing for the tests: $$*"; \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$$@" >/dev/null; \
	else \
		echo "The tests need Debian packages; run this as root, then make test again:"; \
		echo "    apt-get update && apt-get install --yes --no-install-recommends $$*"; \
		exit 1; \
	fi
