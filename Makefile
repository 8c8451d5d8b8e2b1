PYTHON := .venv/bin/python
# mypy's Django plugin loads the settings, which require these; it does not connect to anything.
UNUSED := DATABASE_URL=postgresql:///unused REDIS_URL=redis://unused STINT_SECRET_KEY=unused

# Commands start many processes of the same modules, which are compiled once, whatever the shell's environment.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up install image test test-all lint lock mutants bench conformance faults fuzz upgrade-fixture screenshots clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Play the demo on real servers, then serve the pages; ONCE=1 exits after the demo
	@.ci/bootstrap demo
	@$(PYTHON) manage.py demo $(if $(ONCE),--once)

up: ## Start all processes of Stint; Ctrl-C stops them
	@.ci/bootstrap run
	@$(PYTHON) manage.py up

install: ## Install this version below PREFIX=/opt/stint for ACCOUNT=stint; needs root
	@PREFIX="$(PREFIX)" ACCOUNT="$(ACCOUNT)" .ci/install

image: ## Build the container image IMAGE on BASE, a Debian image; without BASE, create one first
	@IMAGE="$(IMAGE)" BASE="$(BASE)" .ci/image

test: ## Run lint, the quick tests and the smoke tests; T="tests/broker -k word" runs only those tests, SHUFFLE=1 in random order
	@.ci/bootstrap test
	@$(if $(T),,$(MAKE) --no-print-directory lint)
	@$(PYTHON) -m $(if $(T),pytest $(T) $(if $(SHUFFLE),--random-order),tests.run quick smoke)

test-all: ## Run all groups of tests; G="timing ssh" runs only tests of that group with that word in their names
	@.ci/bootstrap test
	@FULL=1 $(PYTHON) -m tests.run $(G)

lint: ## Check style, types, import rules, lengths, words, spelling, shell scripts and templates
	@.ci/bootstrap lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(UNUSED) $(PYTHON) -m mypy
	$(UNUSED) $(PYTHON) -W ignore manage.py makemigrations --check --dry-run --skip-checks
	$(UNUSED) $(PYTHON) -W ignore manage.py check --tag pickle
	.venv/bin/lint-imports
	$(PYTHON) -m tests.limits
	$(PYTHON) -m tests.words
	.venv/bin/typos
	.venv/bin/shellcheck sessions_app/connectors/ssh/target/*.sh
	$(PYTHON) -m djlint --lint templates

lock: ## Pin all dependencies of requirements.txt and .requirements by hash; UPGRADE=1 upgrades them
	@UPGRADE="$(UPGRADE)" .ci/lock

mutants: ## Run mutation tests on the decision code: N=400 mutants, chosen by SEED=1
	@.ci/bootstrap mutants
	@$(PYTHON) tests/mutants.py

bench: ## Run the benchmarks against their limits; B="ssh stack" runs only those
	@.ci/bootstrap bench
	$(PYTHON) -m tests.bench $(B)

conformance: ## Run the MCP conformance suites against the gateway; needs npm
	@.ci/bootstrap test
	@$(PYTHON) -m tests.conformance

faults: ## Inject faults into the production stack under load, for MINUTES=5, chosen by SEED=1; needs root
	@.ci/bootstrap faults
	@$(PYTHON) -m tests.faults $(or $(MINUTES),5) $(or $(SEED),1)

fuzz: ## Fuzz all parsers, or only T="jwt webhook", for N=600 seconds each; KEEP=1 updates the corpus
	@.ci/bootstrap fuzz
	@$(PYTHON) -m tests.fuzz $(or $(N),600) $(T)

upgrade-fixture: ## Save a database of this version, from which tests migrate to later versions
	@.ci/bootstrap test
	$(PYTHON) -m tests.upgrade

screenshots: ## Save a screenshot of every page in .cache/screenshots; README=1 updates those of the README
	@.ci/bootstrap test
	$(PYTHON) -m tests.screenshots

clean: ## Remove the virtual environment and caches; keep .stint with its data
	rm -rf .venv .hypothesis .cache .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
