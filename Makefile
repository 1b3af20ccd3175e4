# Two commands for a fresh machine: `make report` and `make test`. Both set up .venv first if needed.
PYTHON ?= python3
BIN := .venv/bin
REPORT ?= reports/demo

# Tests start many processes, and each would compile the source of the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: report studies test check lint types imports docs site numbers clean help

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

.venv/.installed: pyproject.toml constraints.txt
	@echo "setting up .venv (some minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "embedlab needs Python 3.11 or newer: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

report: .venv/.installed ## the main job on the embedded faces: reports/demo/index.html
	$(BIN)/embedlab report --models lowres144 highlow144 --train --scale demo --out $(REPORT)

studies: .venv/.installed ## the main job for every study in analyses/, trained at demo scale: reports/studies/
	for study in analyses/*.toml; do \
	  $(BIN)/embedlab report $$study --train --scale demo --out reports/studies/$$(basename $$study .toml) || exit 1; done

test: .venv/.installed ## run the tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/.installed
	$(BIN)/mypy

imports: .venv/.installed
	$(BIN)/lint-imports

check: lint types imports test ## what CI runs: lint, types, import order, tests

docs: .venv/.installed ## write the generated table of analyses and the glossary
	$(BIN)/python -c "from embedlab.commands.catalogue import markdown; print(markdown(), end='')" > analyses/README.md
	$(BIN)/python -c "from embedlab.report.glossary import markdown; print(markdown(), end='')" > docs/glossary.md

site: .venv/.installed ## build docs/ as a site that is read offline: dist/site/index.html
	$(BIN)/python -m sphinx -W --keep-going -q docs dist/site

numbers: ## keep the headline numbers of the demo report, for the tests to compare with
	$(BIN)/python -c "import json; from embedlab.report.numbers import headlines; d = json.load(open('reports/demo/report.json')); print(json.dumps(headlines(d), indent=1, ensure_ascii=False))" > reports/demo/numbers.json

clean: ## remove everything that was made, but not .venv
	rm -rf lab reports/demo/index.html reports/demo/report.json dist build
