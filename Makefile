# The developer's loop. Every target sets up what it needs from a clean clone; see CONTRIBUTING.md.
# More options reach a command through ARGS: `make up ARGS="--candles DIR --speed 120"`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup up test test-quick bench chaos fuzz soak results results-factory screenshots lint docs clean bench-charts

CARGO := cargo
MANIFEST := --manifest-path cerebellum_core/Cargo.toml
PY := .venv/bin/python
ARGS ?=

help:
	@echo "make up           start everything on this machine; Ctrl-C stops it"
	@echo "make test         every test, Rust and Python"
	@echo "make test-quick   the Python tests that start no process; under two minutes"
	@echo "make lint         formatters, linters, types, layers"
	@echo "make bench        every benchmark; make bench-NAME runs one; make bench-charts draws them"
	@echo "make chaos        thousands of orders under faults and kills; SEED=1 ORDERS=2000"
	@echo "make fuzz         libFuzzer on every parser; ARGS=\"--runs 1000000 --seed 1 --target rest\""
	@echo "make results      forge on candles and write docs/results/forge.md; ARGS=\"--candles DIR\""
	@echo "make results-factory  walk the factory forward and write docs/results/factory.md; ARGS=\"--candles DIR\""
	@echo "make screenshots  pictures of the pages of a running system, into docs/pictures"
	@echo "make docs         the documentation as a site"
	@echo "make clean        remove what was built; data/ is kept"

setup:
	@tools/setup.sh

up: setup
	@exec .venv/bin/crucible up $(ARGS)

# Tests that share servers stay in one process; tests/conftest.py says how many there are.
PARALLEL := -n auto --dist loadgroup --no-loadscope-reorder

# Both languages run even when one fails; the runners' own closing lines come last.
test: setup
	@status=0; \
	$(CARGO) test --release --locked --workspace $(MANIFEST) || status=1; \
	$(PY) -m pytest $(PARALLEL) --durations 25 $(ARGS) || status=1; \
	exit $$status

# Neither a process nor a server: what is left are pure computations and files.
test-quick: setup
	@$(PY) -m pytest $(PARALLEL) --durations 25 -m "not process and not browser and not e2e" $(ARGS)

lint: setup
	@status=0; \
	.venv/bin/ruff check . || status=1; \
	.venv/bin/ruff format --check . || status=1; \
	.venv/bin/mypy || status=1; \
	.venv/bin/lint-imports || status=1; \
	$(CARGO) fmt $(MANIFEST) --all --check || status=1; \
	$(CARGO) clippy --release --locked --workspace --all-targets $(MANIFEST) -- -D warnings || status=1; \
	exit $$status

BENCHMARKS := $(filter-out _%,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: setup
	@test -n "$(BENCHMARKS)" || { echo "make bench: there is no benchmark in benchmarks/ yet" >&2; exit 1; }
	@status=0; for name in $(BENCHMARKS); do $(PY) -m benchmarks.$$name $(ARGS) || status=1; done; exit $$status

bench-%: setup
	@test -f benchmarks/$*.py || { echo "make bench-$*: benchmarks/$*.py does not exist yet" >&2; exit 1; }
	@$(PY) -m benchmarks.$* $(ARGS)

bench-charts: setup
	@$(PY) -m benchmarks._charts $(ARGS)

# make chaos SEED=7 ORDERS=5000
chaos: setup
	@CHAOS_SEED=$(or $(SEED),1) CHAOS_ORDERS=$(or $(ORDERS),2000) $(PY) -m pytest -s tests/chaos $(ARGS)

fuzz: setup
	@$(PY) -m tools.fuzz $(ARGS)

soak: setup
	@test -f tools/soak.py || { echo "make soak: tools/soak.py does not exist yet; nothing was run" >&2; exit 1; }
	@$(PY) tools/soak.py $(ARGS)

# make results ARGS="--candles DIR --processes 4"
results: setup
	@$(PY) -m tools.results_forge $(ARGS)

# make results-factory ARGS="--candles DIR"
results-factory: setup
	@$(PY) -m tools.results_factory $(ARGS)

screenshots: setup
	@test -f tools/screenshots.py || { echo "make screenshots: tools/screenshots.py does not exist yet" >&2; exit 1; }
	@$(PY) tools/screenshots.py $(ARGS)

docs: setup
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict $(ARGS)

clean:
	@rm -rf .venv .make .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		build dist site crucible.egg-info cerebellum_core/target cerebellum_core/fuzz/libfuzzer/target
	@find crucible flows tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "removed what was built; data/ is untouched"
