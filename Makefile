# make report   the lab report of the eight configurations, on generated photographs or on yours:
#               make report DATA=params/data/aptos.yaml SET="data_dir=/photos/aptos epochs=10"
#               make report DATA=params/data/aptos.yaml RECIPE=params/recipes/strong.yaml
# make test     the tests
# make lab      the notebooks in JupyterLab
# make lint     ruff, import-linter and mypy
# make docs     docs/_build/html/index.html

# Empty: the newest of Python 3.11 to 3.14 for which there is PyTorch.
PYTHON ?=
DATA ?= params/data/demo.yaml
# Without one, the lab's recipe.
RECIPE ?= $(if $(filter %/demo.yaml,$(DATA)),params/recipes/demo.yaml)
SET ?=
# Two runs at a time fill two cores better than one run with two threads.
JOBS ?= 2
OUT ?= reports/$(basename $(notdir $(DATA)))
TESTS ?= -m "not slow and not odd"

# Threads of torch that wait for each other sleep: spinning, they starve whatever else runs on the same cores.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: report test lab lint docs clean
.DEFAULT_GOAL := report

report: .venv/installed
	.venv/bin/dr-lab run --data $(DATA) $(RECIPE:%=--recipe %) --out $(OUT) --jobs $(JOBS) \
		$(foreach assignment,$(SET),--set $(assignment))

test: .venv/installed
	.venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(TESTS)

# JupyterLab refuses root unless told; in most containers there is nobody else.
lab: .venv/installed
	.venv/bin/jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

lint: .venv/installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-cache
	.venv/bin/python -m mypy

# A warning is an error: a broken link or reference fails.
docs: .venv/installed
	.venv/bin/python docs/parameters.py
	.venv/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

# Written last, so that an installation that was broken off is taken up again.
.venv/installed: pyproject.toml constraints.txt
	test -x .venv/bin/python || { python=$(or $(PYTHON),$$(.ci/find-python)) && $$python -m venv .venv; }
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf .venv reports data/demo docs/_build
