# make demo | make test | make lint | make bench | make docs; each sets up .venv on its own the first time.
PYTHON ?= python3
SIZE ?= moderate
RUN := .venv/bin/python
# One core a process: libraries that each take all cores slow one another down in tests.
export OMP_NUM_THREADS ?= 2
# Threads that wait let other programs run: spinning makes a busy machine ten times slower.
export OMP_WAIT_POLICY ?= passive
export GOMP_SPINCOUNT ?= 0
export PYTHONNOUSERSITE := 1

.PHONY: demo test lint bench docs env env-docs format clean

demo: env
	@$(RUN) examples/digits.py

test: env
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

lint: env
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(RUN) -c "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"

format: env
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

bench: env
	@$(RUN) benchmarks/run.py --size $(SIZE)

docs: env-docs
	@$(RUN) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs: open docs/_build/html/index.html"

env:
	@$(PYTHON) .ci/make_venv.py test

env-docs:
	@$(PYTHON) .ci/make_venv.py test docs

clean:
	rm -rf .venv build dist docs/_build docs/reference .pytest_cache .mypy_cache .ruff_cache .hypothesis
