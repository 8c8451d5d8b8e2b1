PYTHON := .venv/bin/python
# mypy's Django plugin reads the settings, which want these; it connects to nothing.
UNUSED := DATABASE_URL=postgresql:///unused REDIS_URL=redis://unused STINT_SECRET_KEY=unused

# Every command starts many processes of the same modules; these are compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up install image test test-all lint lock mutants bench faults fuzz screenshots clean

help: ## Show what make can do here
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Play the main job on real servers, then serve the pages; ONCE=1 exits after the story
	@.ci/bootstrap demo
	@$(PYTHON) manage.py demo $(if $(ONCE),--once)

up: ## Start all of Stint; Ctrl-C stops it
	@.ci/bootstrap run
	@$(PYTHON) manage.py up

install: ## Install this version below PREFIX=/opt/stint for ACCOUNT=stint; needs root
	@PREFIX="$(PREFIX)" ACCOUNT="$(ACCOUNT)" .ci/install

image: ## Build the container image IMAGE on BASE, a Debian image; without BASE, make one first
	@IMAGE="$(IMAGE)" BASE="$(BASE)" .ci/image

test: ## Run lint, the quick tests and the smoke tests; T="tests/broker -k word" runs those tests alone, SHUFFLE=1 in random order
	@.ci/bootstrap test
	@$(if $(T),,$(MAKE) --no-print-directory lint)
	@$(PYTHON) -m $(if $(T),pytest $(T) $(if $(SHUFFLE),--random-order),tests.run quick smoke)

test-all: ## Run all tests at full breadth, by groups; G="timing ssh" runs the tests of that group with that word in their names
	@.ci/bootstrap test
	@FULL=1 $(PYTHON) -m tests.run $(G)

lint: ## Check style, types, directions of imports, lengths and templates
	@.ci/bootstrap lint
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(UNUSED) $(PYTHON) -m mypy
	$(UNUSED) $(PYTHON) -W ignore manage.py makemigrations --check --dry-run --skip-checks
	$(UNUSED) $(PYTHON) -W ignore manage.py check --tag pickle
	.venv/bin/lint-imports
	$(PYTHON) -m tests.limits
	$(PYTHON) -m djlint --lint templates

lock: ## Pin what requirements.txt and .requirements name, and all that it needs, by hash; UPGRADE=1 takes newer versions
	@UPGRADE="$(UPGRADE)" .ci/lock

mutants: ## Put faults into the code that decides, and count what the tests notice; N=400 of them, picked by SEED=1
	@.ci/bootstrap mutants
	@$(PYTHON) tests/mutants.py

bench: ## Measure speed against the limits; B="ssh stack" measures those parts alone
	@.ci/bootstrap test
	$(PYTHON) -m tests.bench $(B)

faults: ## Break the production stack on purpose while it is used, for MINUTES=5, as SEED=1 says; needs root
	@.ci/bootstrap faults
	@$(PYTHON) -m tests.faults $(or $(MINUTES),5) $(or $(SEED),1)

fuzz: ## Fuzz the parsers T="jwt webhook", by default all, for N=600 seconds each; KEEP=1 renews the corpus
	@.ci/bootstrap fuzz
	@$(PYTHON) -m tests.fuzz $(or $(N),600) $(T)

screenshots: ## Take every page as a picture into .cache/screenshots; README=1 renews those of the README
	@.ci/bootstrap test
	$(PYTHON) -m tests.screenshots

clean: ## Remove the virtual environment and caches; .stint, with its data, stays
	rm -rf .venv .hypothesis .cache .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
