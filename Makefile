# `make` alone lists the targets. Every target that needs Python makes .venv first, from the locked, hashed packages.

# The system's Python where it will do: distributions build theirs with profile-guided and link-time optimization, which
# makes the platform a seventh faster; version managers, which come first in a PATH, by default do not.
PYTHON ?= $(or $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; \
	done),python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?= .local

.DEFAULT_GOAL := help
.PHONY: help demo up down status logs test test-slow faults check proto mutants bench bench-check bench-docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## run the story of one report against real servers (KEEP=1 leaves them running)
	@$(BIN)/python -m infra.demo $(if $(KEEP),--keep)

up: $(INSTALLED) ## start PostgreSQL, Kafka and the services on this machine, without Docker
	@$(BIN)/python -m infra.local up --data $(DATA)

down: $(INSTALLED) ## stop everything `make up` started
	@$(BIN)/python -m infra.local down --data $(DATA)

status: $(INSTALLED) ## show what runs, and where it answers
	@$(BIN)/python -m infra.local status --data $(DATA)

logs: $(INSTALLED) ## show the last lines of every log
	@$(BIN)/python -m infra.local logs --data $(DATA)

test: $(INSTALLED) ## run the tests, against servers they start themselves
	$(BIN)/pytest -m "not slow"

test-slow: $(INSTALLED) ## run the slow tests too: kills under load, whole traces
	$(BIN)/pytest -m slow

faults: $(INSTALLED) ## break the running platform in every way it knows, and check it from outside (ONLY=kill,stop ROUNDS=3 SEED=1 SAVE=1)
	@exec env HOLDSPACE_ENVIRONMENT=local $(BIN)/python -m tests.faults $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(if $(SAVE),--save)

check: $(INSTALLED) ## lint, format, types, import contracts, protocol files, documented rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/buf breaking proto --against proto/baseline.binpb
	$(BIN)/python -m tests.rules --check

proto: $(INSTALLED) ## generate the Python code of the protocol files
	$(BIN)/python -m proto.generate

mutants: $(INSTALLED) ## change one thing at a time in the rules and see whether a test fails (ONLY=kernel,scheduling SAMPLE=20 SEED=1)
	@$(BIN)/python -m tests.mutation $(if $(ONLY),--only $(ONLY)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS))

bench: $(INSTALLED) ## measure the platform against what it stands on, as ratios (ONLY=P1,P7 ROUNDS=5 PEERS=1)
	@exec env HOLDSPACE_ENVIRONMENT=local $(BIN)/python -m tests.load $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PEERS),--peers) $(if $(SAVE),--save)

bench-check: $(INSTALLED) ## measure again, and fail where a figure is 20 % worse than in docs/performance.json (ONLY=P1,P7 ROUNDS=5)
	@exec env HOLDSPACE_ENVIRONMENT=local $(BIN)/python -m tests.load --check $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-docs: $(INSTALLED) ## make docs/performance.md and its charts from docs/performance.json
	@$(BIN)/python -m tests.load.document

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer with venv is missing; install with: sudo apt-get install -y python3 python3-venv" >&2; \
		exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
