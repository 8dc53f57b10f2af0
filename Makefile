# make demo and make test do everything that is needed on a bare machine; what they make lies in .venv and build/.

SHELL := /bin/bash
PY := .venv/bin/python
CORPUS ?= ../shared/corpus
FUZZ_SECONDS ?= 300
SOAK_SECONDS ?= 600
# Tools keep their caches where `make clean` finds them.
export RUFF_CACHE_DIR := build/cache/ruff
export MYPY_CACHE_DIR := build/cache/mypy
export HYPOTHESIS_STORAGE_DIRECTORY := build/cache/hypothesis
PYTEST_CACHE := -o cache_dir=build/cache/pytest
export PYTHON

.PHONY: help demo test check format bench corpus fuzz soak readme deb clean packages
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run.stamp ## mount an image, look into it, say what was seen; IMAGE=disc.iso takes yours
	@$(PY) tools/demo.py "$(IMAGE)"

test: .venv/dev.stamp packages ## the whole suite
	$(PY) -m pytest -q $(PYTEST_CACHE) -n 2 $(PYTEST)

check: .venv/dev.stamp ## format, lint, types, the fast tests
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -q $(PYTEST_CACHE) -n 2 -m "not slow and not fuse" $(PYTEST)

format: .venv/dev.stamp ## what check would complain of and a program can mend
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: .venv/dev.stamp packages ## compare speed with other programs; BENCH="--rows 'find*' --rounds 5"
	$(PY) -m bench $(BENCH)

corpus: .venv/dev.stamp ## compare with trusted listings of real images
	$(PY) tools/corpus.py $(CORPUS)

fuzz: .venv/dev.stamp ## feed damaged images to every decoder for FUZZ_SECONDS (300)
	IMAGEFS_FUZZ_SECONDS=$(FUZZ_SECONDS) $(PY) -m pytest -q $(PYTEST_CACHE) --timeout 0 tests/fuzz

soak: .venv/dev.stamp packages ## the daemon under load for SOAK_SECONDS (600), and whether its memory stays flat
	$(PY) tools/soak.py $(SOAK_SECONDS)

readme: .venv/dev.stamp ## bring the generated parts of README.md up to date
	$(PY) -m tools.readme

deb: ## build the Debian package in build/deb
	@mkdir -p build; tools/packages deb || echo "make: going on without them"
	@tools/deb

clean: ## remove build/ and .venv
	rm -rf build .venv

# Whole and missing programs are told apart by looking for them, so these cost nothing when all is there.
packages:
	@mkdir -p build; tools/packages run build test || echo "make: going on without them; tests that need them will say so"

.venv/run.stamp: pyproject.toml tools/venv tools/python
	@mkdir -p build; tools/packages run || echo "make: going on without them"
	tools/venv run
	@touch $@

.venv/dev.stamp: pyproject.toml tools/venv tools/python
	@mkdir -p build; tools/packages run build || echo "make: going on without them"
	tools/venv dev
	@touch $@ .venv/run.stamp
