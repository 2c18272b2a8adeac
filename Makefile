# `make demo` and `make test` need nothing but Python 3.11 or newer: each sets up .venv by itself, once.
#   make demo PYTHON=/path/to/python   another interpreter        make demo ARGS="--seed 1"   options of the command
#   make test ARGS="-k quantizer"      some of the tests          make lessons ARGS="03_quantizer"   some of the lessons

PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV ?= .venv
ARGS ?=
LAB ?= lab
WORKERS ?= 2
SETTINGS := settings.ini setup.py constraints.txt pyproject.toml
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt
# What tests/test_fid.py compares with. Their torchvision is left out: it would bring another PyTorch.
PARITY := torch-fidelity torchmetrics lightning-utilities
IN_ORDER := PATH="$(abspath $(BIN)):$$PATH"

.DEFAULT_GOAL := help
.PHONY: help demo test lessons run lab grade decks site browser readme export benchmark setup clean clean-all

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.run  ## train on this machine, generate images, write everything into runs/demo (12 minutes on 2 cores)
	$(BIN)/tokenbridge demo $(ARGS)

test: $(VENV)/.dev  ## every test, every code cell of every lesson, a shortened demo, ruff and mypy (20 minutes on 2 cores)
	$(IN_ORDER) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lessons: $(VENV)/.dev  ## execute the lessons in full and compare with the committed outputs (40 minutes on 2 cores)
	$(IN_ORDER) $(BIN)/python -m tests.tools.lessons check $(ARGS)

run: $(VENV)/.dev  ## execute lessons and write their outputs and hashes: make run ARGS=03_quantizer
	@test -n "$(ARGS)" || { echo "make: say which lessons, such as: make run ARGS=03_quantizer" >&2; exit 1; }
	$(IN_ORDER) $(BIN)/python -m tests.tools.lessons run $(ARGS)

lab: $(VENV)/.dev  ## write the lessons as exercise books into lab/: no outputs, functions to write, guesses to make
	$(IN_ORDER) $(BIN)/python -m tests.tools.lab $(ARGS) --lab $(LAB)

grade: $(VENV)/.dev  ## judge exercise books: make grade LAB=lab (one learner), or LAB=a folder of labs
	$(IN_ORDER) $(BIN)/python -m tests.tools.grade $(LAB)

decks: $(VENV)/.dev  ## write slides of the lessons into _build/decks: make decks ARGS=09 (needs npm, the first time)
	$(IN_ORDER) $(BIN)/python -m tests.tools.decks $(ARGS)

browser: $(VENV)/.dev  ## look at JupyterLab, an exercise, the decks and the site in Chromium (not part of make test)
	@$(BIN)/python -c 'import playwright' 2>/dev/null || { set -x; $(PIP_INSTALL) -e ".[browser]"; }
	$(IN_ORDER) $(BIN)/python -m tests.tools.browser $(ARGS)

site: $(VENV)/.dev  ## build site and slides from the committed outputs: _build/site/index.html (needs npm, once)
	$(IN_ORDER) $(BIN)/python -m tests.tools.site $(ARGS)

readme: $(VENV)/.dev  ## write README.md and nbs/images from nbs/index.ipynb
	$(IN_ORDER) $(BIN)/python -m tests.tools.readme $(ARGS)

export: $(VENV)/.dev  ## write tokenbridge/*.py from the notebooks, then clean the notebooks
	$(IN_ORDER) $(BIN)/nbdev_export
	$(IN_ORDER) $(BIN)/nbdev_clean

benchmark: $(VENV)/.run  ## time each hot path beside its naive version
	$(BIN)/tokenbridge benchmark $(ARGS)

setup: $(VENV)/.dev  ## everything for working on the notebooks, in .venv
	@echo "ready: source $(BIN)/activate"

clean:  ## delete what tests and builds leave behind (not .venv, not runs)
	rm -rf build _build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis nbs/.ipynb_checkpoints
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean  ## delete .venv, too
	rm -rf $(VENV)

# Two stamps: what the command needs, and what the tests need besides. Newer settings install again.
$(VENV)/.run: $(SETTINGS) | $(BIN)/python
	@test -e $(VENV)/.dev && want=".[dev]" || want="."; set -x; $(PIP_INSTALL) -e "$$want"
	@touch $@

$(VENV)/.dev: $(SETTINGS) | $(BIN)/python
	$(PIP_INSTALL) -e ".[dev]"
	$(PIP_INSTALL) --no-deps $(PARITY)
	@touch $(VENV)/.run $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: found no Python from 3.11 on; install one or say where: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("make: Python 3.11 or newer is needed, $(PYTHON) is %d.%d" % v[:2])'
	@echo "Setting up $(VENV) with $(PYTHON): this downloads PyTorch and takes a few minutes, once."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) could not make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
