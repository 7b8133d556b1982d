# Every target works on a fresh checkout: the environment is made on first use (see spark-submit.sh --help).
RUN = bash conf/environment.sh
SOURCES = seqrec jobs tests benchmarks setup.py

.PHONY: environment format lint test test-all

environment:
	@$(RUN)

format:
	@$(RUN) ruff check --quiet --fix $(SOURCES)
	@$(RUN) ruff format $(SOURCES)

lint:
	@$(RUN) ruff check $(SOURCES)
	@$(RUN) ruff format --check $(SOURCES)
	@$(RUN) mypy

test: lint
	@$(RUN) python -m pytest -m "not slow"

test-all: lint
	@$(RUN) python -m pytest
