# The commands of this project; `make help` lists them.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--no-emit-index-url --no-header --no-annotate

LOCKS := requirements.txt requirements-dev.txt requirements-node.txt
PEERS := .venv-peers
BENCH := .venv-bench
LANES := floor handbook channels naive

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev system-packages run client dev test test-quick fuzz lint model-check faults faults-quick faults-long faults-mutants faults-failover bench bench-quick size reset model model-convert peers lock audit settings pictures

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: client  ## Start Parley on http://127.0.0.1:8000 and keep it running; Ctrl-C ends it
	@exec $(PY) run.py

client: setup  ## Build the browser client, if its sources have changed
	@$(PY) -m tools.frontend build

dev: setup  ## Start Parley with a web process that reloads, and the client's development server on port 5173
	@$(PY) -m tools.frontend dev

setup: $(VENV)/.installed  ## Make .venv with what Parley needs to run

setup-dev: $(VENV)/.installed-dev

test: setup-dev system-packages client  ## Run every test
	@$(PY) -m tools.frontend test
	@$(PY) -m pytest

test-quick: setup-dev client  ## Run the tests that are quick and need no browser: a minute
	@$(PY) -m tools.frontend test
	@$(PY) -m pytest -m "not slow and not browser and not peers"

fuzz: setup-dev  ## Drive the API and the turn protocol at random for some minutes: what `make test` does, longer
	@FUZZ=20 $(PY) -m pytest tests/test_schemathesis.py tests/test_turn_machine.py --timeout 1800

lint: setup-dev  ## Check style and types
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .
	@$(PY) -m mypy
	@$(PY) -m tools.frontend lint

model-check: setup-dev  ## Explore every interleaving of the turn protocol: half a minute
	@$(PY) -m protocol
	@$(PY) -m protocol --mutants

FAULTS = $(PY) -m faults $(if $(SEED),--seed $(SEED))

faults: setup-dev  ## Break everything while clients talk, and see that nothing is lost: 20 minutes; SEED=… repeats a run
	@$(FAULTS) --times 3 --messages 1000

faults-quick: setup-dev  ## The same with each cheap fault once: three minutes
	@$(FAULTS) --conversations 6 --slack 2

faults-long: setup-dev  ## The same with 3,000 messages and more faults: 40 minutes
	@$(FAULTS) --times 5 --messages 3000

faults-mutants: setup-dev  ## Show that the fault matrix finds what it is to find, by breaking the product: 20 minutes
	@$(PY) -m faults.mutants

faults-failover: setup-dev  ## The same with Sentinels and on a cluster: failovers, crashes, a slot that moves; ten minutes
	@$(FAULTS) --failover --lanes 1 --conversations 8 --times 2

bench: setup-dev $(LANES:%=$(BENCH)/%/.installed)  ## Race Parley against its peers: 40 minutes, on a quiet machine
	@$(PY) -m bench

bench-quick: setup-dev $(LANES:%=$(BENCH)/%/.installed)  ## See that every lane of the race starts and answers: two minutes
	@$(PY) -m bench --quick

size: setup  ## Print how many lines there are, and the longest functions
	@$(PY) -m tools.size

settings: setup  ## Write docs/configuration.md's table and .env.example anew from chat/config.py
	@$(PY) -m tools.settings

pictures: setup-dev system-packages client  ## Take the README's picture anew, in Chromium
	@$(PY) -m tools.pictures

reset: setup  ## Empty DATA_DIR (.data): every conversation of `make run` is lost
	@$(PY) -m tools.reset

model: $(PEERS)/.installed  ## Train the tiny GPT-J anew (half an hour, an environment of its own)
	@$(PEERS)/bin/python -m gptj.train

model-convert: $(PEERS)/.installed  ## Turn a GPT-J from Hugging Face into what we serve: FROM=… [INTO=…] [QUANTIZATION=int8]
	$(if $(FROM),,$(error FROM=… names the checkpoint: a folder, or an id on Hugging Face))
	@$(PEERS)/bin/python -m gptj.train.convert "$(FROM)" $(if $(INTO),--into "$(INTO)") \
		$(if $(QUANTIZATION),--quantization $(QUANTIZATION))

peers: setup-dev $(PEERS)/.installed  ## Test against what others wrote: GPT-J in transformers, and as it serves it
	@$(PY) -m pytest -m peers

# uv, because it resolves for every platform and Python from 3.11 at once: pip-tools leaves out what this machine
# does not need, and `pip --require-hashes` then refuses to install on the others.
lock: setup  ## Pin requirements*.in with hashes; UPGRADE=--upgrade takes the newest versions
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@for lock in $(LOCKS) $(LANES:%=bench/lanes/%/requirements.txt); do $(LOCK) --output-file $$lock $${lock%.txt}.in || exit; done
	@echo torch | $(LOCK) --excludes /dev/stdin --output-file requirements-peers.txt requirements-peers.in

# In an environment of its own, as what it needs is no part of ours. Both are asked, also where the first finds something.
audit: setup  ## Ask PyPI and npm for known weaknesses of every pinned package; they must be reachable
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@.venv-audit/bin/pip-audit --strict --progress-spinner off --disable-pip --require-hashes $(LOCKS:%=-r %) -r requirements-peers.txt; \
		found=$$?; $(PY) -m tools.frontend audit && exit $$found

# The browser tests drive Debian's Chromium, and the proxy test runs a real nginx.
system-packages:
	@if command -v chromium >/dev/null && PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing chromium and nginx for the tests."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
			chromium nginx-light >/dev/null; \
	else echo "Chromium or nginx is missing; without them their tests are skipped, and where CI is set that is an error."; \
		[ -z "$$CI" ]; fi

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Parley needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Installing what Parley needs into $(VENV); this takes about half a minute."
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) -r requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

# PyTorch by a line of its own: its file differs with the machine, and with it what it needs, which on Linux are gigabytes
# of CUDA unless pip finds a build for the CPU.
$(PEERS)/.installed: requirements-peers.txt
	@echo "Installing PyTorch, transformers and what they need into $(PEERS); this takes some minutes."
	@[ -x $(PEERS)/bin/python ] || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

# Each lane has an environment of its own: what its article names, and nothing of ours.
$(BENCH)/%/.installed: bench/lanes/%/requirements.txt $(VENV)/.installed
	@echo "Installing what the lane $* needs into $(@D)."
	@$(PYTHON) -m venv --without-pip $(@D)
	@$(PY) -m pip --python $(@D)/bin/python install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
