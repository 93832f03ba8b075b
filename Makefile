# `make` alone lists the commands. VENV=.venv-3.13 PYTHON=python3.13 gives a second environment beside the first.
VENV ?= .venv
PYTHON ?=
BASE ?= http://localhost:8000
# One more than CI has cores: a third of their time the tests wait. The idle one takes work from the others.
TEST_WORKERS ?= 3
TEST_OPTIONS := -n $(TEST_WORKERS) --dist worksteal
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DEFAULT_GOAL := help
.PHONY: help run venv test test-long lint format texts lock wheels audit quickstart browser walk bench bench-history bench-lockout test-events-long test-operations trials trials-sdk fuzz sdk sbom release compose-up compose-check compose-test clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(STAMP) ## start the service with its own PostgreSQL and Redis; ARGS="--port 8001"
	@exec $(BIN)/python -m auth_service dev $(ARGS)

venv: $(STAMP) ## make the virtual environment; PYTHON=... chooses the interpreter

test: $(STAMP) ## run the tests; ARGS="-k refresh", COVERAGE=1 checks that they cover the code
	@exec $(if $(COVERAGE),scripts/coverage.sh $(BIN),$(BIN)/python -m pytest) $(TEST_OPTIONS) $(ARGS)

test-long: $(STAMP) ## run the tests that take long for what they show; ARGS="-k canary"
	@exec $(BIN)/python -m pytest $(TEST_OPTIONS) -m long $(ARGS)

lint: $(STAMP) ## check style, formatting, types, the direction of imports, and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=clients/python $(BIN)/lint-imports
	$(BIN)/python -m scripts.lint_migrations
	$(BIN)/python -m scripts.check_locks

format: $(STAMP) ## format the code and fix what can be fixed safely
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

TEXTS := auth_service/pages
texts: $(STAMP) ## bring new texts of the pages into the catalogues of the languages, for translators
	$(BIN)/pybabel -q extract -F pyproject.toml -k N_ --no-location --omit-header -o $(VENV)/messages.pot $(TEXTS)
	$(BIN)/pybabel -q update -i $(VENV)/messages.pot -d $(TEXTS)/locale -w 110 -N --ignore-obsolete

lock: $(STAMP) ## resolve the requirements again; ARGS=--upgrade takes newer versions
	$(BIN)/python -m scripts.lock $(ARGS)

wheels: $(STAMP) ## list the locked packages that have no wheel for a Python or a platform (asks the index)
	$(BIN)/python -m scripts.missing_wheels

audit: $(STAMP) ## look for known vulnerabilities in what is installed in production
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.txt

quickstart: $(STAMP) ## run the commands of the quickstart against BASE (a service that runs)
	BASE=$(BASE) $(BIN)/python scripts/run_doc.py docs/quickstart.md

browser: $(STAMP) ## walk through docs/browsers.md with Chromium against BASE, and attack it from hostile pages
	BASE=$(BASE) $(BIN)/python -m tests.support.browser_walk

walk: $(STAMP) ## open every page in Chromium as five readers, and time two first uses: ten minutes; PAGE_PICTURES=folder
	@exec $(BIN)/python -m pytest tests/operations/pages -m operations -s $(ARGS)

bench: $(STAMP) ## measure the service beside other ways to the same answers: ten minutes; ARGS="--only check", ARGS=--full
	@exec $(BIN)/python -m bench $(ARGS)

bench-history: $(STAMP) ## measure the login history at 10,000,000 rows; ARGS="--rows 500000"
	@exec $(BIN)/python -m bench.history $(ARGS)

test-events-long: $(STAMP) ## the broker away for 60 s under load, and 50 kills of the relay
	@EVENTS_OUTAGE_SECONDS=60 EVENTS_KILLS=50 $(BIN)/python -m pytest tests/events/test_relay.py -s \
		-k "away_is_felt or killed" $(ARGS)

test-operations: $(STAMP) ## fail over, upgrade, back up and restart whole systems; ARGS="-k sentinel"
	@exec $(BIN)/python -m pytest tests/operations -m operations -s $(ARGS)

trials: $(STAMP) ## try to get an answer from before a change, on four workers; ARGS=1000000
	@TRIALS=$(or $(ARGS),20000) $(BIN)/python -m pytest tests/operations/test_coherence.py -m operations -s \
		-k test_no_worker

trials-sdk: $(STAMP) ## try to get an answer from a client that is older than its bound; ARGS=100000
	@TRIALS=$(or $(ARGS),6000) $(BIN)/python -m pytest tests/operations/test_local_client.py -m operations -s \
		-k test_no_answer

fuzz: $(STAMP) ## hold the service to its OpenAPI document with schemathesis; FUZZ_EXAMPLES=10 ARGS="-k viewer"
	@exec $(BIN)/python -m pytest tests/operations/test_schemathesis.py -m operations -s $(ARGS)

bench-lockout: $(STAMP) ## attack an account with 10,000 wrong passwords; ARGS="--tries 500"
	@exec $(BIN)/python -m bench.lockout $(ARGS)

sdk: $(STAMP) ## build wheel and sdist of the Python client into clients/python/dist
	@rm -rf clients/python/dist
	@$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python --out-dir clients/python/dist clients/python
	@rm -rf clients/python/build clients/python/*.egg-info
	@ls clients/python/dist/*.whl clients/python/dist/*.tar.gz

sbom: $(STAMP) ## list what runs in production, as CycloneDX, in dist/
	@exec $(BIN)/python -m scripts.release.sbom

release: $(STAMP) ## build, try and list what is released of the commit, in dist/<version>; ARGS="--no-image"
	@exec $(BIN)/python -m scripts.release $(ARGS)

compose-up: ## start everything in Docker Compose; ARGS="--profile kafka --profile monitoring"
	@exec $(COMPOSE) $(ARGS) up --build

compose-check: $(STAMP) ## start Compose with two replicas and Kafka, kill and replace them under load, remove it all
	@exec $(BIN)/python -m pytest tests/operations/test_compose.py -m operations -s $(ARGS)

compose-test: ## run the tests in Docker Compose and remove what they used
	$(COMPOSE) -f docker-compose.test.yml up --build --abort-on-container-exit --exit-code-from tests; \
	status=$$?; $(COMPOSE) -f docker-compose.test.yml down --volumes; exit $$status

clean: ## remove caches and build results (the environment and the data of `make run` stay)
	rm -rf clients/python/build clients/python/dist clients/python/*.egg-info
	rm -rf build dist htmlcov .coverage .coverage.* *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find auth_service clients tests alembic scripts bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamp comes last and goes first, so an interrupted installation is done again from an empty folder.
# A candidate must run: shims of version managers exist for versions that are not there.
$(STAMP): requirements-dev.txt pyproject.toml scripts/install.sh
	@set -e; \
	python=; \
	for candidate in $(or $(PYTHON),$(BIN)/python python3.13 python3.12 python3.11 python3.14 python3); do \
		if $$candidate -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; \
		then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "No Python 3.11 to 3.14 found: install one, or name it with PYTHON=/path/to/python3.13." >&2; \
		echo "For 3.15, confluent-kafka, orjson and pyyaml have no wheels yet." >&2; \
		exit 1; \
	fi; \
	python=$$($$python -c 'import sys; print(sys._base_executable)'); \
	echo "installing the requirements into $(VENV), for $$python"; \
	rm -f $(STAMP); \
	scripts/install.sh "$$python" $(VENV) requirements-dev.txt; \
	$(BIN)/uv pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	touch $(STAMP)
