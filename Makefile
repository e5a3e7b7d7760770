# make app and make test need only a Python; the first call sets up .venv, later ones start at once.
PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
.DEFAULT_GOAL := app
.PHONY: app test audit soak bench gallery lint clean

app: $(READY)  ## open the app in a browser
	$(BIN)/landscape app $(ARGS)

test: $(READY)  ## the whole test suite; ARGS='-k curves' for a part of it
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadscope $(ARGS)

audit: $(READY)  ## dependencies: hashes as they were, no known holes; ARGS=--write lists files that are new
	$(BIN)/python .ci/audit.py $(ARGS)

soak: $(READY)  ## 20 minutes of random starts, cancels and kills, then a check of the store; ARGS='--minutes 2 --seed 7'
	$(BIN)/python tests/soak.py $(ARGS)

bench: $(READY) .bench-venv/.ready  ## speed as ratios within one run; ARGS=--json for a list
	$(BIN)/python -m bench --rival .bench-venv $(ARGS)

gallery: $(READY)  ## compute the runs shipped in assets/gallery; ARGS='digits moons' for some of them
	$(BIN)/python assets/gallery/build.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .

clean:
	rm -rf .venv .bench-venv build *.egg-info .pytest_cache .ruff_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed; $(PYTHON) is '$$($(PYTHON) --version 2>&1)'." \
	       "Install one and name it: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# The packages that bench compares with, in an environment of its own that borrows the dependencies of .venv.
.bench-venv/.ready: $(READY) Makefile
	$(PYTHON) -m venv .bench-venv
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(.bench-venv/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/borrowed.pth"
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check matplotlib==3.11.2 h5py==3.16.0
	.bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps loss-landscapes==3.0.6 losscape==1.5.10
	@touch $@
