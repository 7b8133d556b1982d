# Every target works on a fresh checkout: the environment is made on first use (see spark-submit.sh --help).
RUN = bash conf/environment.sh
# Three at a time, as tests wait for processes that start; each file in one process, which makes a Spark session and its
# fixtures once.
PARALLEL = -n 3 --dist loadfile
SOURCES = seqrec jobs tests benchmarks docs conf setup.py

.PHONY: environment lock format lint docs site test test-all audit sbom

environment: # All of it, also what is otherwise built when it is first wanted.
	@$(RUN) python -m seqrec.training.workers.horovod_build

lock: # Needs uv.
	@$(RUN) python conf/setup/make_lock.py

audit: # Needs uv and the network; see docs/dependencies.md.
	@$(RUN) python conf/setup/audit.py

sbom: # Needs uv.
	@$(RUN) uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment --output-file sbom.json .venv/bin/python

format:
	@$(RUN) ruff check --quiet --fix $(SOURCES)
	@$(RUN) ruff format $(SOURCES)

lint:
	@$(RUN) ruff check $(SOURCES)
	@$(RUN) ruff format --check $(SOURCES)
	@$(RUN) mypy

docs:
	@$(RUN) python docs/make_configuration.py
	@$(RUN) python docs/make_messages.py
	@$(RUN) python docs/make_tree.py
	@$(RUN) python -m pytest tests/docs/test_pages.py

WORKDIR ?= work
site: # An index page of all results in a workdir.
	@$(RUN) python -m seqrec.interface.site "$(WORKDIR)"

test: # Horovod is built beside the checks that do not need it.
	@$(RUN)
	@$(RUN) python -m seqrec.training.workers.horovod_build --quiet &
	@$(MAKE) --no-print-directory lint
	@$(RUN) python -m seqrec.training.workers.horovod_build
	@$(RUN) python -m pytest -m "not slow" $(PARALLEL)

test-all: test
	@$(RUN) python -m pytest -m slow
