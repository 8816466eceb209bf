# make book: the course as a site.  make test: the proof.  Both set themselves up.
PYTHON ?= python3
JOBS   ?= 2
SMOKE  := _build/smoke/_build

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
PY     := $(BIN)/python
PYTEST := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(PY) -m pytest -q
STAMP  := .venv/.ready
COURSE := .venv/.course

.PHONY: book book-instructor slides handout test lab bench lock setup clean
.DEFAULT_GOAL := book

book: $(STAMP)  ## build the site by executing every notebook
	$(PY) tools/build_site.py

book-instructor: $(STAMP)  ## the same with worked solutions, in _build/instructor; never publish it
	$(PY) tools/build_site.py --instructor

slides: book  ## slides of every chapter, in _build/html/slides
	$(PY) tools/slides.py

handout: book  ## a chapter as a PDF: make handout CHAPTER=16
	$(PY) tools/handout.py $(CHAPTER)

test: $(STAMP) $(COURSE)  ## everything: style, library, notebooks, site, browser
	$(PY) -m ruff check .
	$(PYTEST) lib tests --doctest-modules --ignore-glob='tests/test_site*' -n $(JOBS) --dist loadfile
	UNMIX_BUDGET=smoke $(PYTEST) notebooks --ignore=notebooks/exercises --nbval-lax --nbval-cell-timeout=120 -n $(JOBS) --dist loadfile
	$(PY) tools/build_site.py --budget smoke --out $(SMOKE)
	UNMIX_SITE=$(SMOKE)/html $(PYTEST) tests/test_site*.py

lab: $(STAMP)  ## JupyterLab at the first chapter
	$(PY) -m jupyterlab notebooks/01_mixtures_and_tasks.ipynb

bench: $(STAMP)  ## the timings that the course claims
	$(PY) -m pytest -q tests/bench_*.py --benchmark-only

lock: $(STAMP)  ## what a release was tested with, for every system, in releases/VERSION.txt
	mkdir -p releases
	$(PY) -m uv pip compile requirements.txt requirements-course.txt --universal --python-version 3.11 --generate-hashes -q \
	  --custom-compile-command "make lock" \
	  -o releases/$$($(PY) -c "import lib; print(lib.__version__)").txt

setup: $(STAMP)

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "The course needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check "$$(grep '^torch==' requirements.txt)"
	$(PY) -m pip install -q --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $(STAMP)

# nbgrader's menus stay off; whoever wants them says `labextension enable`
$(COURSE): $(STAMP) requirements-course.txt
	$(PY) -m pip install -q --disable-pip-version-check -r requirements-course.txt
	$(BIN)/jupyter-labextension disable --level=sys_prefix @jupyter/nbgrader
	@touch $(COURSE)

clean:  ## what the builds made; the environment stays
	rm -rf _build build .pytest_cache .ruff_cache .hypothesis .benchmarks
