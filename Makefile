.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK := $(BIN)/python -m local_stack
STAGES := data_prepare data_generate model_registry api_serving connect_reconciler dashboard_stream local_stack
PINS := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
COMPOSE := docker compose
# Most tests wait for something; each worker has a stack of its own, of some 1.6 GiB.
WORKERS ?= 2
# Services to leave out: make up WITHOUT="grafana-dashboard data-generator"
WITHOUT ?=
leaving_out = $(if $(WITHOUT),$$($(1) config --services | grep -vxF $(foreach name,$(WITHOUT),-e $(name))))
stage_compose = $(COMPOSE) $(foreach file,$(wildcard $(1)/*docker-compose.yaml),-f $(file))
# The user's own images; both kinds of stack read them from the environment, containers as absolute paths.
ifneq ($(MONDAY_DIR),)
export MONDAY_DIR := $(abspath $(MONDAY_DIR))
endif
ifneq ($(TUESDAY_DIR),)
export TUESDAY_DIR := $(abspath $(TUESDAY_DIR))
endif

##@ Start here

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^##@ / {printf "%s%s\n", gap, substr($$0, 5); gap = "\n"} \
		/^[a-z0-9%-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements/development.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed. Name one: make PYTHON=python3.12 …")'
	@echo "Installing the Python packages into $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/development.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed jars ## Install all that the stack needs: Python packages, Maven, Kafka's jars

.PHONY: demo
demo: setup ## Start everything, watch the data drift and the model repair itself (STORY=0: only watch; DURATION=90)
	@$(STACK) demo $(if $(filter 0,$(STORY)),--no-story) $(if $(DURATION),--duration $(DURATION))

##@ Local stack

.PHONY: jars
jars: ## Fetch Kafka's and Debezium's jars, pinned and checked
	@test -d kafka/jars || sh local_stack/processes/install-maven.sh
	@sh kafka/fetch-jars.sh

.PHONY: up-local
up-local: setup ## Start everything in the background
	@$(STACK) up

.PHONY: down-local
down-local: setup ## Stop everything; the state is kept
	@$(STACK) down

.PHONY: clean-local
clean-local: setup ## Stop everything and remove its state
	@$(STACK) clean

.PHONY: sample-data
sample-data: setup ## For the local stack: make the sample images, their corrupted copies and the manifests
	@$(STACK) images

##@ Containers

# An image has no checkout that could tell.
up up-%: export MODEL_REGISTRY_CODE_COMMIT ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null)

.PHONY: up
up: ## Build and start everything in containers; ends when predictions flow (WITHOUT=service leaves one out)
	@$(COMPOSE) up -d --build --wait $(call leaving_out,$(COMPOSE))

up-%: ## Start one stage in containers: up-data_generate, up-kafka, up-model_registry, …
	@$(if $(wildcard $*/*docker-compose.yaml),,$(error there is no stage $* with a compose file))
	@COMPOSE_IGNORE_ORPHANS=true $(call stage_compose,$*) up -d --build --wait $(call leaving_out,$(call stage_compose,$*))

.PHONY: down
down: ## Stop and remove the containers; all data is kept
	@$(COMPOSE) down --remove-orphans

.PHONY: clean
clean: ## Stop and remove the containers and all their data
	@$(COMPOSE) down --remove-orphans --volumes

##@ Look inside

.PHONY: status
status: setup ## Show what each service is doing
	@$(STACK) status

.PHONY: account
account: setup ## Compare every row with its outcome and its replica, and name what is missing
	@$(STACK) account

.PHONY: repair
repair: setup ## Send what is missing through again
	@$(STACK) repair

.PHONY: doctor
doctor: setup ## Say which link of the chain is broken and what to do
	@$(STACK) doctor

.PHONY: logs
logs: ## Follow a service's log (S=name), of its container or else of the local stack
	@if [ -n "$$($(COMPOSE) ps -aq $(S) 2>/dev/null)" ]; then $(COMPOSE) logs -f --tail 100 $(S); \
	else $(MAKE) --no-print-directory logs-local; fi

.PHONY: logs-local
logs-local: setup ## Follow a service's log in the local stack (S=name)
	@$(STACK) logs $(S)

.PHONY: psql-source
psql-source: ## A session in the container of the source database
	@$(COMPOSE) exec postgres-server psql -U myuser -d mydatabase

.PHONY: psql-target
psql-target: ## A session in the container of the target database
	@$(COMPOSE) exec target-postgres-server psql -U targetuser -d targetdatabase

.PHONY: topics
topics: ## List the topics of the broker's container
	@$(COMPOSE) exec -e KAFKA_HEAP_OPTS=-Xmx128m broker /opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:29092 --list

##@ Models

.PHONY: train
train: setup ## Train and register a version (STRATEGY=balanced_margin BUDGET=0.2 SEED=0)
	@$(BIN)/python -m model_registry.save_model_to_registry --model-name sk_model \
		$(if $(STRATEGY),--strategy $(STRATEGY)) $(if $(BUDGET),--budget $(BUDGET)) $(if $(SEED),--seed $(SEED))

.PHONY: promote
promote: setup ## Make a registered version the champion (VERSION=2 REASON="…")
	@$(BIN)/python -m model_registry.promote --version $(or $(VERSION),$(error say which: make promote VERSION=2)) \
		--reason "$(or $(REASON),make promote)"

.PHONY: rollback
rollback: setup ## Bring the champion back that served before (REASON="…")
	@$(BIN)/python -m model_registry.rollback $(if $(REASON),--reason "$(REASON)")

.PHONY: history
history: setup ## Show which version served when, who brought it there, and why
	@$(BIN)/python -m model_registry.history

.PHONY: reproduce
reproduce: setup ## Rebuild a registered version from its record and compare (VERSION=2)
	@$(BIN)/python -m model_registry.reproduce --version $(or $(VERSION),$(error say which: make reproduce VERSION=2))

##@ Development

.PHONY: lint
lint: $(VENV)/.installed ## ruff, the directions of imports, and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

.PHONY: test-quick
test-quick: lint ## Linters, unit and property tests: no service, no Java, at most a minute and a half
	$(BIN)/pytest -m 'not services' --ignore=tests/integration --ignore=tests/e2e --numprocesses=logical --dist=worksteal

.PHONY: test
test: setup lint sample-data ## Everything: linters, unit, integration and end-to-end tests (WORKERS=1: one after the other)
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder

.PHONY: pins
pins: $(VENV)/.installed ## Compile requirements/*.txt anew from pyproject.toml
	$(PINS) --all-extras -o requirements/development.txt
	for stage in $(STAGES); do $(PINS) --extra $$stage -c requirements/development.txt -o requirements/$$stage.txt || exit 1; done
