"""Every link of the report and of the pages behind it leads somewhere."""

import os
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from experiment_factory import built_report

from dr_lib.report.render import render_page
from dr_lib.storage.folders import ExperimentFolder

GIVEN = os.environ.get("DR_EXPERIMENT")


def broken_links(start):
    """Return which links of ``start`` and of all pages behind it lead nowhere, how many there are, and the pages."""
    seen, left, broken, followed = {start}, [start], [], 0
    while left:
        page = left.pop()
        text = page.read_text()
        # Of Markdown its links and pictures; its headings have no ids to look up.
        markdown = page.suffix == ".md"
        found = re.findall(r"\]\(([^()\s]+)\)" if markdown else r'\bhref="([^"]+)"', text)
        for address in map(unescape, found):
            if re.match(r"[a-z]+:", address):
                continue
            followed += 1
            name, _, ident = address.partition("#")
            target = (page.parent / unquote(name)).resolve() if name else page
            is_page = target.exists() and target.suffix == ".html"
            if not target.exists() or (is_page and ident and f'id="{ident}"' not in target.read_text()):
                broken.append((page.name, address))
            elif is_page and target not in seen:
                seen.add(target)
                left.append(target)
    return broken, followed, {page.name for page in seen}


@pytest.mark.notebooks
@pytest.mark.parametrize("name", ["index.html", "summary.md"])
def test_all_links_lead_somewhere(name, tmp_path_factory):
    if GIVEN:
        experiment = ExperimentFolder(Path(GIVEN).resolve())
    else:
        experiment = ExperimentFolder(built_report(tmp_path_factory.getbasetemp()))
        run = experiment.run("resnet50")
        run.notebook.write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
        render_page(run.notebook, run.page, title="resnet50", home="../../index.html")
    broken, followed, pages = broken_links(experiment.path.resolve() / name)
    assert broken == [] and followed > 25 and "run.html" in pages


def test_a_broken_link_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a href="b.html#there">x</a><a href="#gone">x</a><a href="no.html">x</a>')
    (tmp_path / "b.html").write_text('<p id="there"><a href="a.html#gone">x</a>')
    broken, followed, pages = broken_links((tmp_path / "a.html").resolve())
    assert sorted(broken) == [("a.html", "#gone"), ("a.html", "no.html"), ("b.html", "a.html#gone")]
    assert followed == 4 and pages == {"a.html", "b.html"}
