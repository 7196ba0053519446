"""README and docs: their example runs, their links lead somewhere, the page of parameters is that of ``RunConfig``."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]


@pytest.mark.slow
def test_the_example_of_the_readme_runs(tmp_path):
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    # A smaller demo than the default one, at the same place; everything else is as it stands there.
    small = 'cache_dir="cache", generated_train=40, generated_test=10, generated_size=96, num_workers=0, '
    code = code.replace("RunConfig(", f"RunConfig({small}")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Estimate(value=" in done.stdout
    header, *rows = (tmp_path / "predictions.csv").read_text().splitlines()
    assert header == ",image,patient,grade,predicted,p0,p1,p2,p3,p4" and len(rows) == 10


def test_figures_of_the_readme_are_those_of_the_pages():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    readme = readme.partition("## Results")[2].partition("## More")[0]
    pages = "".join(
        (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("results", "performance")
    )
    figures = re.findall(r"\d+\.\d+(?: \(\d+\.\d+ to \d+\.\d+\))?", readme)
    assert len(figures) > 8 and not [figure for figure in figures if figure not in pages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing
    assert targets or page.name != "README.md"


def test_files_that_pages_speak_of_are_there():
    for page in PAGES:
        named = re.findall(r"`((?:params|notebooks|dr_lib|benchmarks|tests)/[\w./-]+\.\w+)`", page.read_text("utf-8"))
        missing = [name for name in named if not (PROJECT / name).exists() and Path(name).stem != "NAME"]
        assert not missing, page.name


def test_the_architecture_speaks_of_modules_that_are_there():
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = re.findall(r"`(\w+/[\w/]+\.py)`", text)
    assert len(modules) > 30
    assert not [module for module in modules if not (PROJECT / "dr_lib" / module).exists()]


def test_the_page_of_parameters_is_that_of_the_configuration(tmp_path):
    code = "import sys; sys.path.insert(0, 'docs'); import parameters; print(parameters.page(), end='')"
    made = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, encoding="utf-8", check=True)
    assert made.stdout == (PROJECT / "docs" / "parameters.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_contents():
    index = (PROJECT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"```\{toctree\}.*?\n\n(.*?)```", index, re.DOTALL)[1].split()
    assert sorted(listed) == sorted(page.stem for page in (PROJECT / "docs").glob("*.md") if page.stem != "index")
