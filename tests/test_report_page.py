"""The report as one page: every section in its place between the prose, nothing from outside, names escaped."""

import re
import sys
from html import escape

import nbformat
import pytest
from experiment_factory import EVIL_NAME, broken_experiment, built_report, photograph_table, write_run

from dr_lib.notebook.process import NOTEBOOKS
from dr_lib.report import sections
from dr_lib.report.build import _lead_back, head_run_pages
from dr_lib.report.collect import collect
from dr_lib.report.formulas import markdown_to_html, slug
from dr_lib.report.html_page import html_page
from dr_lib.report.render import as_left_on_screen, page_of, render_page
from dr_lib.report.report_page import report_page
from dr_lib.storage.files import read_json, write_text


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return collect(broken_experiment(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="module")
def page(results):
    return report_page(results)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


@pytest.mark.slow
def test_names_of_files_are_text(results, page):
    assert f"<code>{EVIL_NAME}</code>".replace("<script>", "&lt;script&gt;").replace(
        "</script>", "&lt;/script&gt;"
    ) in (sections.damaged_files(results).data)
    assert EVIL_NAME not in page and "alert(1)" in page


def test_report_is_one_file_with_all_sections(page):
    headings = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert [re.sub("^[0-9] ", "", text_of(heading).strip()) for heading in headings] == [
        "What one change does", "All runs", "Results", "Limitations of this experiment", "Data", "Set-up", "Background",
        "How to reproduce", "Sources",
    ]  # fmt: skip
    assert "{{" not in page and "{%" not in page
    assert page.startswith("<!DOCTYPE html>") and '<html lang="en">' in page and page.count("<h1") == 1
    assert page.count("<math") > 15 and "$$" not in text_of(page)
    for outside in ("cdn", "MathJax", "require.js", "jquery"):
        assert outside.lower() not in page.lower()
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= set(re.findall(r'\bid="([^"]+)"', page))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_no_heading_of_a_table_is_a_name_of_the_code(page):
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)', page)
    assert len(heads) > 60 and not [head for head in heads if re.fullmatch("([A-Z][a-z]+){2,}", head)]


def test_every_picture_has_a_text(page):
    for tag in re.findall(r"<(?:svg|img)\b[^>]*>", page):
        assert re.search(r'(?:aria-label|alt)="[^"]{10,}"', tag), tag[:200]
    assert page.count("<figure") == page.count("<figcaption")


@pytest.mark.slow
def test_every_section_has_its_place(page, results):
    for name in sections.__all__:
        arguments = [] if name in ("block_figures", "stride_figure") else [results]
        html = getattr(sections, name)(*arguments).data
        assert html.replace("<pre>", '<pre tabindex="0">') in page, name


@pytest.mark.slow
def test_shares_of_confusion_matrices_are_those_that_were_asked_for(results):
    assert "counts alone" not in report_page(results, normalize=None)
    assert "diagonal, in bold, is the precision of each answer" in report_page(results, normalize="pred")


@pytest.mark.parametrize("text", ["{{ 1 + 1 }}", "{% raw %}", "# a", "*a*", "$x$", "<b>a</b>", "&lt;", "a & b"])
def test_what_runs_say_is_neither_template_nor_markdown(text, tmp_path):
    write_run(tmp_path, photograph_table(60), state="failed", reason=f"reason {text}.")
    page = report_page(collect(tmp_path))
    assert f"reason {escape(text)}." in page


def test_a_page_has_a_title_and_escapes_it():
    page = html_page("<p>body &amp; more</p>", title="<b>&</b>", home="a&b.html")
    assert "<title>&lt;b&gt;&amp;&lt;/b&gt;</title>" in page and "<h1>&lt;b&gt;&amp;&lt;/b&gt;</h1>" in page
    assert "<p>body &amp; more</p>" in page and 'href="a&amp;b.html"' in page
    assert "<h1>x</h1>" not in html_page('<h1 id="a">A</h1>', title="x")


@pytest.mark.notebooks
def test_the_files_of_a_report_are_those(tmp_path_factory):
    experiment = built_report(tmp_path_factory.getbasetemp())
    assert {path.name for path in experiment.iterdir()} == {
        "audit.json", "index.html", "report.ipynb", "results-columns.csv",
        "results-long.csv", "results.csv", "results.json", "runs", "summary.md",
    }  # fmt: skip


def test_pages_of_other_notebooks_show_code_and_link_back(tmp_path):
    cell = nbformat.v4.new_code_cell("# A red dot\nplot(1 < 2)")
    cell.outputs = [
        nbformat.v4.new_output("stream", text="<b>epoch 1</b>\n"),
        nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}),
        nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["\x1b[31mValueError\x1b[0m: <no>"]),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("## Part one"), cell])
    nbformat.write(notebook, tmp_path / "run.ipynb")
    render_page(tmp_path / "run.ipynb", tmp_path / "run.html", title="Run <1>", home="../../index.html")
    page = (tmp_path / "run.html").read_text()
    assert "<title>Run &lt;1&gt;</title>" in page and "<h1>Run &lt;1&gt;</h1>" in page
    assert 'href="../../index.html"' in page and 'href="#part-one"' in page
    assert "&lt;b&gt;epoch 1&lt;/b&gt;" in page and 'alt="A red dot"' in page and "&lt;no&gt;" in page
    assert "<details class" not in page and 'class="highlight' in page.replace('" highlight', '"highlight')
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["run.html", "run.ipynb"]


def test_pages_of_runs_are_titled_by_their_run_and_lead_to_the_others(tmp_path):
    table = photograph_table(60)
    paths = [write_run(tmp_path, table, name=name) for name in ("a", "b")]
    paths.append(write_run(tmp_path, table, name="c+1", state="failed", reason="no <b> memory"))
    for path in paths:
        write_text(path / "run.html", html_page('<h1 id="train">Train one</h1><p>cells</p>', title=path.name))
    write_text(tmp_path / "audit.html", html_page("<p>audit</p>", title="x"))
    for _ in range(2):  # a report is made again and again
        head_run_pages(collect(tmp_path))
        _lead_back(tmp_path / "audit.html", "index.html")
    first, second, third = ((path / "run.html").read_text() for path in paths)
    test = read_json(paths[1] / "metrics.json")["test"]
    assert second.count("<h1") == 1 and "ResNet18 from scratch</h1>" in second and "Train one" not in second
    assert f"<b>{test['kappa']:.2f}</b>" in second and f"<b>{100 * test['accuracy']:.1f}%</b>" in second
    assert 'href="../a/run.html">← a<' in second and 'href="../c%2B1/run.html">c+1 →<' in second
    assert 'href="predictions.csv"' in second and "model card" not in second and "<p>cells</p>" in second
    assert "←" not in first and "failed: no &lt;b&gt; memory" in third and "tile" not in third.partition("<main")[2]
    assert (tmp_path / "audit.html").read_text().count('class="home" href="index.html"') == 1


def test_headings_of_parts_have_links_to_themselves():
    page = html_page('<h1 id="top">T</h1><h2 id="part">Part</h2><h3 id="part">Again</h3>', title="x")
    assert 'href="#part" aria-label="Link to this part"></a></h2>' in page and 'href="#part-2" aria-label' in page
    assert '<h1 id="top">T</h1>' in page and '<a href="#part">Part</a>' in page


def test_spent_progress_bars_leave_no_trace():
    assert as_left_on_screen("10%\r20%\rdone\nnext\r\n") == "done\nnext"
    assert as_left_on_screen("half of a bar\r\x1b[2K") == ""
    cell = nbformat.v4.new_code_cell("run()")
    cell.outputs = [nbformat.v4.new_output("stream", text="99%\r\x1b[K")]
    assert "stream" not in page_of(nbformat.v4.new_notebook(cells=[cell]), title="x").partition("<body>")[2]


def test_a_page_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    write_text(tmp_path / "run.html", "old")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "run.ipynb")
    monkeypatch.setattr("dr_lib.storage.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        render_page(tmp_path / "run.ipynb", tmp_path / "run.html", title="x")
    assert (tmp_path / "run.html").read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_formulas_become_mathml():
    html = markdown_to_html(r"## A $x_l$" "\n\nThen $a<b$ and\n\n$$\\frac{\\partial a}{\\partial b}$$")
    assert html.count("<math") == 3 and "<mfrac>" in html and "$" not in html and "&#x0003C;" in html
    assert slug("5.1 What <b>is</b> it &amp; why?") == "5-1-what-is-it-why"


def test_package_carries_its_template():
    folder = NOTEBOOKS.parent / "dr_lib" / "report" / "template" / "page"
    assert {path.name for path in folder.iterdir()} == {
        "conf.json",
        "frame.html.j2",
        "index.html.j2",
        "report.md",
        "style.css",
        "pieces.css",
        "contents.js",
        "tables.js",
        "page.js",
    }
    assert "@import" not in (folder / "style.css").read_text() and sys.version_info >= (3, 11)
    assert page_of(nbformat.v4.new_notebook(), title="empty").count("<h1>empty</h1>") == 1
