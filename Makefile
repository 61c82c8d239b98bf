# Either of `make demo` and `make test` is enough on a fresh machine: both make the same .venv.
PYTHON ?= python3
VENV := .venv
# What the command needs; and what tests, checks and docs need beside it.
INSTALLED := $(VENV)/.installed
DEVELOPING := $(VENV)/.developing
# uv installs in half a minute what takes pip five. It does not read pip's configuration: where it finds no index,
# or no uv is found, pip installs. Neither compiles modules, which happens when they are first imported.
UV := uv==0.13.9
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
INSTALL = $(PIP_INSTALL) $(UV) && VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --constraint constraints.txt \
	--editable "$(1)" || { echo "uv could not install; trying pip"; $(PIP_INSTALL) --no-compile --constraint constraints.txt --editable "$(1)"; }
EXTRAS := [dev,docs,hdf5,serve]
# Even in a container that turns this off: a module that is compiled anew in each process costs each start 20 s.
export PYTHONDONTWRITEBYTECODE :=
# Small networks learn faster with one thread than with two that wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
# Tests beside each other, one thread each.
TEST := $(ONE_THREAD) $(VENV)/bin/python -m pytest -n 2 --dist worksteal

.PHONY: audit hashed hashes bench demo test test-slow docs check fuzz backbone format clean

demo: $(INSTALLED)
	$(ONE_THREAD) $(VENV)/bin/evlora demo demo

test: $(DEVELOPING)
	$(TEST)

test-slow: $(DEVELOPING)
	$(TEST) -m slow

fuzz: $(DEVELOPING)
	$(TEST) -m fuzz -n 0  # one run, which goes on where it stopped; EVLORA_FUZZ_INPUTS=2000 makes it short

# The embedded backbone from nothing, about an hour on two cores; `make backbone` again goes on.
backbone: $(INSTALLED)
	$(ONE_THREAD) $(VENV)/bin/python -m evlora.pretraining --out backbone --resume

# The documentation as a site, site/index.html. Its search needs a server: python -m http.server -d site
docs: $(DEVELOPING)
	$(VENV)/bin/zensical build --strict --clean

# Training steps side by side, what sizes and answers cost, and what a run costs beside a bare loop;
# short form, the scripts have options.
bench: $(DEVELOPING)
	$(ONE_THREAD) $(VENV)/bin/python benchmarks/steps.py
	$(ONE_THREAD) $(VENV)/bin/python benchmarks/costs.py
	$(ONE_THREAD) $(VENV)/bin/python benchmarks/overhead.py

check: $(DEVELOPING)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	$(VENV)/bin/lint-imports

# Known vulnerabilities of the pinned versions, and the bill of materials; asks PyPI, and fails where it knows
# nothing of a package: a mirror without such data would find no fault in any.
audit:
	$(PYTHON) -m venv .work/audit
	.work/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	.work/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --format cyclonedx-json --output sbom.json

# The tested versions alone, each file compared with its SHA-256, in an environment of its own.
hashed:
	$(PYTHON) -m venv .work/hashed
	.work/hashed/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes --requirement requirements-hashed.txt
	.work/hashed/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation .

# After a change of constraints.txt; asks PyPI.
hashes:
	$(PYTHON) -m venv .work/hashes
	.work/hashes/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	.work/hashes/bin/uv pip compile --quiet --no-deps --generate-hashes --no-annotate --python-version 3.11.7 --custom-compile-command "make hashes" constraints.txt --output-file requirements-hashed.txt

format: $(DEVELOPING)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:
	rm -rf $(VENV) demo backbone dist site .cache .work .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "evlora needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + "; say make PYTHON=python3.11 ...")'
	@echo "installing into $(VENV): PyTorch and its libraries, half a minute or a few"
	$(PYTHON) -m venv $(VENV)
	@$(call INSTALL,.)
	@touch $@

$(DEVELOPING): $(INSTALLED)
	@$(call INSTALL,.$(EXTRAS))
	@touch $@
