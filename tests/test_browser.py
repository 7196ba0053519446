"""The pages in a real browser: nothing leaves the machine, nothing breaks, everyone can read and work them.

With DR_EXPERIMENT naming an experiment folder, the checks that hold for any are of its pages.
"""

import base64
import io
import os
import re
import subprocess
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from chromium import launched, needs_chromium, opened
from data_folders import eyes, write_course, write_photographs
from experiment_factory import built_report

from dr_lib.config import RunConfig
from dr_lib.plots import panel
from dr_lib.report.audit_results import write_audit
from dr_lib.report.html_page import html_page
from dr_lib.report.render import render_page
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training.trained_run import Run

pytestmark = [pytest.mark.browser, pytest.mark.notebooks, needs_chromium]

GIVEN = os.environ.get("DR_EXPERIMENT")

ROWS = """() => [...document.querySelectorAll('table.sortable tbody tr')].map(row => row.cells[0].innerText + '\\n'
  + row.cells[1].innerText)"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    if GIVEN:
        return ExperimentFolder(Path(GIVEN).resolve())
    made = ExperimentFolder(built_report(tmp_path_factory.getbasetemp()))
    _render_run(made)
    return made


@pytest.fixture(scope="module")
def pages(experiment, tmp_path_factory):
    """The report, the page of a run, that of an audit."""
    run = next(folder.page for folder in experiment.runs() if folder.done or folder.name == "resnet18-pretrained")
    audit = experiment.audit_page
    return {"index": experiment.report, "run": run, "audit": audit if GIVEN else _audited(tmp_path_factory)}


def _render_run(experiment):
    """Write the page of one run, with the cells that are there without any training."""
    folder = experiment.run("resnet18-pretrained")
    run = Run(folder.path)
    cells = [nbformat.v4.new_markdown_cell("# A run\n\n## Accuracy")]
    for plot in (run.plot_history, run.plot_confusion):
        cell = nbformat.v4.new_code_cell(f"run.{plot.__name__}();  # a comment, a {1 + 1} and a 'text'")
        stream = io.BytesIO()
        plot(ax=panel()).figure.savefig(stream, format="png")
        picture = {"image/png": base64.b64encode(stream.getvalue()).decode()}
        cell.outputs = [nbformat.v4.new_output("display_data", data=picture)]
        cells.append(cell)
    cells[1].outputs.append(nbformat.v4.new_output("stream", text="epoch 1: " + 30 * "a long line, "))
    cells[1].outputs.append(nbformat.v4.new_output("error", ename="E", evalue="", traceback=["\x1b[31mE: no\x1b[0m"]))
    frame = pd.DataFrame({f"photographs {split}": [3, 4] for split in range(6)}, index=["no DR", "mild"]).to_html()
    for html in (frame, run._repr_html_()):
        cells[2].outputs.append(nbformat.v4.new_output("display_data", data={"text/html": html}))
    folded = nbformat.v4.new_code_cell("# epochs = 25", metadata={"jupyter": {"source_hidden": True}})
    nbformat.write(nbformat.v4.new_notebook(cells=[folded, *cells]), folder.notebook)
    render_page(folder.notebook, folder.page, title="resnet18-pretrained", home="../../index.html")


def _audited(tmp_path_factory):
    data, out = tmp_path_factory.mktemp("photographs"), tmp_path_factory.mktemp("audit")
    train, test = eyes(range(10, 16)), eyes(range(20, 23))
    write_course(data, train, test)
    write_photographs(data, [*train, *test])
    (data / "11_left.jpeg").write_bytes((data / "11_left.jpeg").read_bytes()[:700])
    write_audit(RunConfig(data_dir=str(data), labels="course", out_dir=str(out), cache_dir=str(out / "cache")))
    return ExperimentFolder(out).audit_page


@pytest.fixture(scope="module")
def browser():
    with launched() as chromium:
        yield chromium


VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def view(request):
    return request.param


@pytest.fixture(params=["index", "run", "audit"])
def page(request, browser, pages, view):
    with opened(browser, pages[request.param], width=view[0], scheme=view[1]) as page:
        page.scheme, page.file = view[1], pages[request.param]
        yield page


@pytest.fixture
def report(browser, pages, view):
    with opened(browser, pages["index"], width=view[0], scheme=view[1]) as page:
        page.scheme = view[1]
        yield page


@pytest.mark.slow
def test_page_opens_alone_fits_and_speaks(page):
    assert [url for url in page.requests if not url.startswith("data:")] == [page.file.as_uri()]
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    silent = "[...document.querySelectorAll('svg, img')].filter(e => !(e.getAttribute('aria-label') || e.alt)).length"
    assert page.evaluate("document.querySelectorAll('svg, img').length") > 0 == page.evaluate(silent)
    # Nothing but what scrolls within itself reaches beyond the window.
    beyond = """[...document.querySelectorAll('main *')].filter(e => !e.closest('.wide, .formula, pre, svg')
        && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []


@pytest.mark.slow
def test_axe_finds_nothing_serious(page):
    """axe-core's rules for WCAG, contrast of all text among them, with folded parts open and the contents too."""
    from axe_playwright_python.sync_playwright import Axe

    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page).response["violations"]
    bad = {
        violation["id"]: [node["html"][:160] for node in violation["nodes"]][:5]
        for violation in found
        if violation["impact"] in ("serious", "critical")
    }
    assert bad == {}


def test_axe_is_really_asked(browser, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "bad.html").write_text(
        "<html lang=en><title>x</title><main><img src=data:,><p style=color:#ddd>hardly to be read"
    )
    with opened(browser, tmp_path / "bad.html") as page:
        assert {found["id"] for found in Axe().run(page).response["violations"]} >= {"image-alt", "color-contrast"}


def test_text_stands_out_from_its_ground_in_both_schemes(report):
    """WCAG AA: 4.5 to 1 for the colors that text has, also in drawings, on the page and on cards."""
    ratio = """() => {
      const probe = document.body.appendChild(document.createElement('i'));
      const luminance = name => {
        probe.style.color = `var(${name})`;
        const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const found = {};
      for (const ground of ['--bg', '--card'])
        for (const ink of ['--fg', '--dim', '--acc', '--maj', '--bad', '--kw', '--str', '--num', '--com'])
          found[ink + ' on ' + ground] = contrast(luminance(ink), luminance(ground));
      probe.remove();
      return found;
    }"""
    too_low = {pair: contrast for pair, contrast in report.evaluate(ratio).items() if contrast < 4.5}
    assert too_low == {}
    dark = report.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 29)"
    assert dark == (report.scheme == "dark")


def test_colors_can_be_chosen_and_figures_take_them(report):
    fills = "[...new Set([...document.querySelectorAll('figure svg text')].map(t => getComputedStyle(t).fill))]"
    expected = {"light": "rgb(29, 35, 48)", "dark": "rgb(231, 233, 238)"}
    other = {"light": "dark", "dark": "light"}[report.scheme]
    found = report.evaluate(fills)
    assert expected[report.scheme] in found and expected[other] not in found
    _open_contents(report)
    report.get_by_role("button", name=f"{other} colors".capitalize()).click()
    found = report.evaluate(fills)
    assert expected[other] in found and expected[report.scheme] not in found
    report.get_by_role("button", name=f"{report.scheme} colors".capitalize()).click()
    assert expected[report.scheme] in report.evaluate(fills)


def test_letters_in_figures_are_legible(report):
    smallest = report.evaluate("""Math.min(...[...document.querySelectorAll('figure svg')]
      .filter(svg => svg.checkVisibility()).map(svg => {
        const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
        return Math.min(...[...svg.querySelectorAll('text')]
          .map(t => parseFloat(getComputedStyle(t).fontSize) * scale));
      }))""")
    assert smallest >= 9.5


def _open_contents(page):
    summary = page.locator("#contents summary")
    if summary.is_visible() and not page.evaluate("document.querySelector('#contents details').open"):
        summary.click()


def _wait_until_marked(page, link, seconds=5.0):
    """Wait as Playwright's own ``wait_for_function`` would, whose code the page's policy does not let run."""
    until = time.monotonic() + seconds
    while (now := page.evaluate("document.querySelector('#contents [aria-current]')?.hash")) != link:
        assert time.monotonic() < until, f"{now} is marked, not {link}"
        page.wait_for_timeout(50)


def test_contents_lead_to_their_parts_and_mark_the_one_that_is_read(report):
    links = report.eval_on_selector_all("#contents > details > ol > li > a", "links => links.map(a => a.hash)")
    assert len(links) > 7 and links[0] == "#main"
    narrow = report.viewport_size["width"] < 500
    current = "[...document.querySelectorAll('#contents [aria-current]')].map(a => a.hash)"
    assert report.evaluate(current) == ["#main"]
    for link in links[1:]:
        _open_contents(report)
        report.click(f'#contents > details > ol > li > a[href="{link}"]')
        _wait_until_marked(report, link)
        top = report.evaluate(f"document.getElementById('{link[1:]}').getBoundingClientRect().top")
        bar = report.evaluate("document.querySelector('#contents').getBoundingClientRect().bottom") if narrow else 0
        assert bar - 1 <= top < 844, link
        if narrow:
            assert report.evaluate("document.querySelector('#contents details').open") is False
            assert report.locator("#contents .here").inner_text()
    # Reading on marks the parts of the part.
    below = report.eval_on_selector_all("#contents ol ol a", "links => links.map(a => a.hash)")
    assert len(below) > 5
    report.evaluate(f"document.getElementById('{below[3][1:]}').scrollIntoView()")
    _wait_until_marked(report, below[3])
    shown = "[...document.querySelectorAll('#contents ol ol')].filter(list => list.checkVisibility()).length"
    assert report.evaluate(shown) == (0 if narrow else 1)
    report.keyboard.press("Control+Home")


def test_runs_are_sorted_by_mouse_and_keyboard(report):
    before = report.evaluate(ROWS)
    values = """column => [...document.querySelectorAll('table.sortable tbody tr:not([data-fixed])')]
      .map(row => row.cells[column]?.dataset.value).map(v => v === undefined ? null : Number(v))"""
    heads = "[...document.querySelectorAll('table.sortable th[data-sort]')].map(th => th.ariaSort)"
    kappa = report.locator("table.sortable th", has_text="Kappa").get_by_role("button")
    column = report.evaluate(
        "[...document.querySelectorAll('table.sortable thead th')].findIndex(th => th.innerText.includes('Kappa'))"
    )
    fixed = "[...document.querySelectorAll('table.sortable tbody tr')].findIndex(row => 'fixed' in row.dataset)"
    place = report.evaluate(fixed)
    assert report.evaluate(heads).count("descending") == 1 and report.evaluate(heads)[1] == "descending"
    kappa.click()
    found = report.evaluate(values, column)
    numbers = [value for value in found if value is not None]
    assert numbers == sorted(numbers, reverse=True) and found[len(numbers) :] == [None] * (len(found) - len(numbers))
    assert [sort for sort in report.evaluate(heads) if sort] == ["descending"]
    kappa.focus()
    report.keyboard.press("Enter")
    assert [value for value in report.evaluate(values, column) if value is not None] == sorted(numbers)
    assert [sort for sort in report.evaluate(heads) if sort] == ["ascending"]
    assert report.evaluate(values, column)[len(numbers) :] == [None] * (len(found) - len(numbers))
    assert report.evaluate(fixed) == place
    assert sorted(report.evaluate(ROWS)) == sorted(before)
    report.get_by_role("button", name="Testing accuracy", exact=True).first.press("Space")
    assert report.evaluate(ROWS) == before


def test_names_are_sorted_as_text_and_ties_keep_their_order(browser, tmp_path):
    from dr_lib.report.markup import Cell, Row, table

    rows = [
        [Cell("net10", "net10"), Cell("1", 1.0)],
        [Cell("net9", "net9"), Cell("2", 2.0)],
        Row(["the others", "–"], fixed=True),
        [Cell("Net1", "Net1"), Cell("1", 1.0)],
        [Cell("lost", "lost"), Cell("none", float("nan"))],
        ["failed", "why"],
    ]
    html = table(["Name", "Number"], rows, "x", sortable=True)
    (tmp_path / "page.html").write_text(html_page(html, title="x"))
    names = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].innerText)"
    with opened(browser, tmp_path / "page.html") as page:
        page.click("text=Name")
        assert page.evaluate(names) == ["lost", "Net1", "the others", "net9", "net10", "failed"]
        page.click("text=Name")
        assert page.evaluate(names) == ["net10", "net9", "the others", "Net1", "lost", "failed"]
        page.click("text=Number")
        assert page.evaluate(names) == ["net9", "net10", "the others", "Net1", "lost", "failed"]
        page.click("text=Number")
        assert page.evaluate(names) == ["net10", "Net1", "the others", "net9", "lost", "failed"]
    with opened(browser, tmp_path / "page.html", java_script_enabled=False) as page:
        assert page.locator("button").count() == 0 and page.locator("#contents a").count() == 1
        assert page.locator("tbody tr").first.inner_text().startswith("net10")


def test_a_script_in_an_output_does_not_run(browser, tmp_path):
    evil = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    evil += '<img src="https://example.org/x.png"><link rel="stylesheet" href="https://example.org/x.css">'
    (tmp_path / "page.html").write_text(html_page(evil, title="mine"))
    with opened(browser, tmp_path / "page.html") as page:
        page.wait_for_timeout(200)
        assert page.title() == "mine" and page.sent == [page.url]


@pytest.mark.slow
def test_printed_pages_are_light_whole_and_without_the_contents(browser, pages, tmp_path):
    with opened(browser, pages["index"], scheme="dark") as page:
        page.pdf(path=str(tmp_path / "page.pdf"), prefer_css_page_size=True, print_background=True)
        # On paper folded tables are open, and folded again afterwards.
        assert page.evaluate("document.querySelectorAll('main details[open]').length") == 0
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        colors = page.evaluate(
            "[...new Set([...document.querySelectorAll('svg text')].map(t => getComputedStyle(t).fill))]"
        )
        assert "rgb(0, 0, 0)" in colors and "rgb(231, 233, 238)" not in colors
        assert not page.locator("#contents").is_visible()
        summaries = page.eval_on_selector_all("details.more > summary", "found => found.map(s => s.innerText)")
        tables = page.eval_on_selector_all("details.more caption", "found => found.map(c => c.textContent)")
    if not _poppler():
        pytest.skip("pdftotext is missing: apt-get install poppler-utils")
    text = _squeezed(subprocess.run(["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, check=True).stdout)
    assert summaries and all(_squeezed(summary.encode()) in text for summary in summaries)
    for caption in tables:
        assert _squeezed(caption.encode())[:40] in text


def _squeezed(text):
    return re.sub(r"\s+", "", text.decode())


def _poppler():
    return subprocess.run(["which", "pdftotext"], capture_output=True, check=False).returncode == 0
