# Every target works on a bare machine with make and Python >= 3.10: what is missing is set up first, once.
# Pass options through ARGS, as in: make test ARGS="tests/unit -k signing"

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-docker test-integrations check bench docs official clean
.PHONY: check-lint check-format check-mypy check-pyright check-layers check-sizes

BIN := .venv/bin
SOURCES := agentrun tests examples benchmarks scripts
CHECKS := check-lint check-format check-mypy check-pyright check-layers check-sizes
ARGS ?=

help:  ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## Create .venv with the package, its emulator and the test tools.
	@scripts/setup.sh test

demo:  ## Run examples/quickstart.py against the emulator.
	@scripts/setup.sh
	@$(BIN)/agentrun emulator exec --script examples/quickstart_model.py -- $(BIN)/python examples/quickstart.py $(ARGS)

test:  ## Run the whole test suite; what needs a container engine is left out where none answers.
	@scripts/setup.sh test
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup $(ARGS)

test-docker:  ## Get a container engine and the image of sandboxes, and run the tests that need them.
	@scripts/setup.sh test
	@scripts/docker_engine.sh >/dev/null
	@$(BIN)/agentrun emulator images build
	@$(BIN)/python -m pytest tests/emulator/backends/docker tests/emulator/hostile -k docker $(ARGS)

test-integrations:  ## Run the tests of each framework in its own environment; ARGS="langchain crewai -- -k stream".
	@scripts/setup.sh test integrations
	@$(BIN)/python scripts/integrations.py $(ARGS)

check:  ## Run the linters, type checkers, layer contracts and size limits.
	@scripts/setup.sh test check
	@$(MAKE) --keep-going --no-print-directory $(CHECKS)

bench:  ## Measure every figure of the docs into benchmarks/results.md.
	@scripts/setup.sh test
	@$(BIN)/python -m benchmarks $(ARGS)

docs:  ## Run every code block of the docs and resolve every name they mention.
	@scripts/setup.sh test
	@$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 -k docs $(ARGS)

official:  ## Compare with the unmodified official client, which needs 670 MB.
	@scripts/setup.sh test
	@scripts/parity_env.sh
	@$(BIN)/python -m pytest tests/parity/test_official_sdk.py $(ARGS)

clean:  ## Remove everything the other targets made.
	@rm -rf .venv .venv-* .cache build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

check-lint:
	@echo "[check] ruff check" && $(BIN)/ruff check --quiet $(SOURCES)

check-format:
	@echo "[check] ruff format" && $(BIN)/ruff format --check --quiet $(SOURCES)

check-mypy:
	@echo "[check] mypy --strict" && $(BIN)/mypy --no-error-summary $(SOURCES)

check-pyright:
	@echo "[check] pyright strict" && $(BIN)/pyright $(SOURCES)

check-layers:
	@echo "[check] layers"
	@if [ -x $(BIN)/lint-imports ]; then $(BIN)/lint-imports --no-logo; else echo "skipped: needs Python 3.11"; fi

check-sizes:
	@echo "[check] sizes" && $(BIN)/python scripts/sizes.py agentrun
