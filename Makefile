# Slipstream's commands. Everything is run through .venv, so nothing has to be activated.

.DEFAULT_GOAL := help
.PHONY: help venv dev-venv node demo test lint lock clean

PY := .venv/bin/python

# The first of these that really runs (a pyenv shim may be on PATH without its Python) and can make a venv.
# `make PYTHON=/path/to/python venv` chooses another.
PYTHON ?=
CANDIDATES := $(PYTHON) python3.11 python3.12 python3.13 python3
RIGHT_VERSION := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Installs a lock into .venv when that lock is not the one installed last; $(1) is the lock file.
define install
@set -e; \
if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	chosen=; without_venv=; \
	for python in $(CANDIDATES); do \
		"$$python" -c '$(RIGHT_VERSION)' >/dev/null 2>&1 || continue; \
		if "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then chosen=$$python; break; fi; \
		without_venv=$$python; \
	done; \
	if [ -z "$$chosen" ] && [ -n "$$without_venv" ]; then \
		echo "$$without_venv cannot make a virtual environment: on Debian or Ubuntu run 'apt-get install python3-venv'." >&2; exit 1; \
	elif [ -z "$$chosen" ]; then \
		echo "Slipstream needs Python 3.11, 3.12 or 3.13; none runs here. Install one, or name it: make PYTHON=/path/to/python venv" >&2; exit 1; \
	fi; \
	echo "Making .venv with $$chosen"; \
	"$$chosen" -m venv --clear .venv; \
fi; \
if ! cmp -s $(1) .venv/$(1); then \
	echo "Installing $(1)"; \
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1); \
	cp $(1) .venv/$(1); \
fi
endef

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1	\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

venv: ## Build .venv from requirements.lock
	$(call install,requirements.lock)

# The development lock holds every pin of requirements.lock and more, in the same .venv.
dev-venv:
	$(call install,requirements-dev.lock)

# The compiler and the local chain, from execution/contracts/package-lock.json; no install script of a package is run.
CONTRACTS := execution/contracts

node: ## Install what the local chain and the contracts need (Node 20 or later)
	@set -e; \
	if ! command -v npm >/dev/null 2>&1; then \
		echo "npm is not installed: install Node 20 or later with npm. Without it the sandbox runs without a chain." >&2; exit 1; \
	fi; \
	if ! cmp -s $(CONTRACTS)/package-lock.json $(CONTRACTS)/node_modules/.installed-lock; then \
		echo "Installing $(CONTRACTS)/package-lock.json"; \
		(cd $(CONTRACTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error); \
		cp $(CONTRACTS)/package-lock.json $(CONTRACTS)/node_modules/.installed-lock; \
	fi

demo: venv ## Run the demo: SQLite, a small cast, dashboard and supervisor (Ctrl-C stops it)
	@$(PY) manage.py demo

# Each worker has a Postgres and a Redis of its own. More workers than cores would fail what measures time.
WORKERS ?= 2
ON_CORES := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: dev-venv ## Install what is missing, lint, and run the whole suite
	@$(PY) -m tests.ensure_binaries
	@$(MAKE) --no-print-directory node
	@$(MAKE) --no-print-directory lint
	$(PY) -m pytest $(ON_CORES)
	$(PY) -m pytest $(ON_CORES) --database=sqlite

lint: dev-venv ## ruff, mypy and the import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

# The pins stay as they are unless asked: make lock UPGRADE=--upgrade
UPGRADE ?=
COMPILE = "$$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(UPGRADE)

lock: venv ## Write both lock files anew from pyproject.toml
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	$(PY) -m venv "$$tools"; \
	"$$tools/bin/pip" install --quiet --disable-pip-version-check uv; \
	$(COMPILE) pyproject.toml -o requirements.lock; \
	$(COMPILE) pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## Delete .venv, caches and the demo's database
	rm -rf .venv .demo $(CONTRACTS)/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
