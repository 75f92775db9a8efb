# Everything starts here: `make demo` and `make test` set up what they need by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HERE := .keyturn
POLL ?= 5s
MINUTES ?= 600
LOCK := $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url --universal --python-version 3.11
SECONDS = $(shell echo $$(( $(patsubst %m,% * 60,$(patsubst %s,%,$(POLL))) )))
WALKTHROUGH = flows.story walkthrough --no-dry-run --data-loss "I accept data loss" --poll-interval-seconds $(SECONDS)
export PREFECT_HOME ?= $(abspath $(HERE)/prefect)
export PREFECT_SERVER_ANALYTICS_ENABLED := false
# Many processes start here: none of them is to compile the libraries anew, which takes half of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup lock schema demo ui test test-faults test-lab test-slow test-az lab-coverage crash-test mutants lint peers bench bench-fleet soak down clean

setup: $(VENV)/.ready
	@mkdir -p $(PREFECT_HOME)

$(VENV)/.ready: requirements.lock requirements-dev.lock requirements-uv.txt
	$(PYTHON) -c 'import sys; sys.exit("Keyturn needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@mkdir -p $(PREFECT_HOME)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes \
	  -r requirements.lock -r requirements-dev.lock
	$(BIN)/python -c 'import flows.story, lab.control.daemon, prefect.server.api.server'  # compiles it once, not once a worker
	touch $@

# The versions of what pyproject.toml names; those that still fit stay. Production installs requirements.lock alone.
lock: setup
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --group lab --group dev -c requirements.lock -o requirements-dev.lock
	echo mutmut==3.8.1 | $(LOCK) -c requirements-dev.lock - -o requirements-mutants.txt
	printf 'boto3\nmoto\npygresql\n' | $(LOCK) - -o requirements-peers.txt

# What editors complete credentials.yaml by; a test fails while it is not current.
schema: setup
	$(BIN)/python -m flows.check --schema > credentials.schema.json

# The walkthrough on the lab, from an empty subscription to a proven rotation. The driver polls every POLL, which is 2m
# on AKS (make demo POLL=2m). The lab stays up afterwards.
demo: setup
	@$(BIN)/python -m lab down
	@$(BIN)/python -m lab up --poll-interval $(POLL)
	@$(BIN)/python -m lab run -- $(abspath $(BIN))/python -m $(WALKTHROUGH)
	@$(MAKE) --no-print-directory ui
	@echo "Try the lab:        $(BIN)/python -m lab run -- kubectl get pods -n dexter"
	@echo "Rotate again:       $(BIN)/python -m lab run -- $(BIN)/python -m flows.rotate --help"
	@echo "Take it down:       make down"

# Prefect's UI: that of the lab's server; without a lab a server on the same runs, until it is interrupted.
ui: setup
	@url=$$($(BIN)/python -m lab env 2>/dev/null | sed -n 's|^export PREFECT_API_URL=\(.*\)/api$$|\1|p'); \
	  if [ -n "$$url" ]; then echo "Look at the runs:   $$url"; \
	  else PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT=false exec $(BIN)/prefect server start; fi

PYTEST := $(BIN)/python -m pytest -q --dist loadfile --durations 15

# Compiles the tests, and what they import, once and not once a worker.
$(VENV)/.collected: $(VENV)/.ready
	$(BIN)/python -m pytest -q --collect-only > /dev/null
	touch $@

test: setup $(VENV)/.collected
	$(PYTEST) -n 4 -m "not slow" tests/unit tests/integration tests/e2e

# Rotations that are killed, cut off and disturbed in the middle, then run again.
test-faults: setup $(VENV)/.collected
	$(PYTEST) -n 2 -m "not slow" tests/crash

# The lab's own: that it answers as Azure and Kubernetes do, and each of its parts.
test-lab: setup $(VENV)/.collected
	$(PYTEST) -n 3 -m "not slow" tests/lab

# Beside all of those: kills around every write, and whatever else takes long.
test-slow: setup
	$(PYTEST) -n 2 -m slow

# The real az against the lab, in a virtual environment of its own: 400 MB that nothing else needs.
AZ := $(HERE)/az
test-az: setup $(AZ)/.ready
	KEYTURN_TEST_AZ=$(AZ)/bin $(BIN)/python -m pytest -q -n 0 --timeout 600 tests/lab/integration/test_az.py

$(AZ)/.ready:
	$(PYTHON) -m venv $(AZ)
	$(AZ)/bin/python -m pip install --quiet --disable-pip-version-check azure-cli==2.91.0
	touch $@

# Writes the page that tells what the lab serves.
lab-coverage: setup
	$(BIN)/python -m pytest -q -n 0 tests/lab/contract -k "arm or azure or vault" --lab-coverage docs/lab-coverage.md

# A rotation of every strategy killed at every step and around every call, and run again; writes the table. It takes
# an hour or two on two quiet cores; MINUTES=30 bounds it, and the next run goes on from there.
crash-test: setup
	KEYTURN_EXAMPLES=10000 $(BIN)/python -m pytest -q -n 0 --timeout 1800 tests/unit/test_rotation_machine.py
	$(BIN)/python -m tests.crash.matrix --minutes $(MINUTES) --write docs/crash-matrix.md

# Changes infra/rotation in one place after the other and asks whether a test notices; lists what none notices.
MUTANTS := $(HERE)/mutants
mutants: setup $(MUTANTS)/.ready
	KEYTURN_EXAMPLES=5 $(MUTANTS)/bin/mutmut run --max-children 2
	$(MUTANTS)/bin/mutmut results

$(MUTANTS)/.ready: requirements.lock requirements-dev.lock requirements-mutants.txt
	$(PYTHON) -m venv $(MUTANTS)
	$(BIN)/uv pip install --quiet --python $(MUTANTS)/bin/python --require-hashes \
	  -r requirements.lock -r requirements-dev.lock -r requirements-mutants.txt
	touch $@

# Some twenty minutes: the walkthrough's script sleeps. What it finds goes to docs/benchmarks.md.
bench: setup
	$(BIN)/python -m benchmarks

# What `make bench` compares Keyturn with, in a virtual environment of its own: AWS's rotation functions, and moto. PyGreSQL
# is compiled, so libpq's headers and pg_config must be there. Without this the benchmark says that it left them out.
PEERS := $(HERE)/peers
AWS_FUNCTIONS := https://github.com/aws-samples/aws-secrets-manager-rotation-lambdas
AWS_COMMIT := b4b8eca63e1f61bbcfb18c291b640f4fc3b0deb8
peers: setup $(PEERS)/.ready
	test -d $(PEERS)/aws-functions || git clone --quiet $(AWS_FUNCTIONS) $(PEERS)/aws-functions
	git -C $(PEERS)/aws-functions checkout --quiet $(AWS_COMMIT)

$(PEERS)/.ready: requirements-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes -r requirements-peers.txt
	touch $@

# Waves of 10, 100 and 1,000 credentials, and one that trouble hits. What it finds goes to docs/fleet-benchmarks.md.
bench-fleet: setup
	$(BIN)/python -m benchmarks.fleet --keep
	$(BIN)/python -m benchmarks.fleet_trouble --keep

# 500 rotations in a row; nothing may pile up.
soak: setup
	$(BIN)/python -m benchmarks --only soak

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

down: setup
	$(BIN)/python -m lab down

clean: down
	rm -rf $(HERE) $(VENV)
