"""Any notebook as a page: all its outputs, its contents, nothing from outside, tables that can be sorted."""

import base64
import hashlib
import math
import re
from html import unescape

import nbformat
import pytest

from dr_lib.report import markup
from dr_lib.report.render import PageExporter, page_of

DOT = "iVBORw0KGgo="
WIDGET = "application/vnd.jupyter.widget-view+json"


def page_with(*cells):
    return page_of(nbformat.v4.new_notebook(cells=list(cells)), title="a page")


def cell_with(data, source="# A red dot\nplot()", metadata=None):
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata or {})
    return nbformat.v4.new_code_cell(source, outputs=[output])


def main_of(page):
    return page.partition("<main")[2].partition("</main>")[0]


def test_template_stands_on_nbconverts_lab():
    folders = [path.rstrip("/").rpartition("/")[2] for path in PageExporter().template_paths]
    assert folders.index("page") < folders.index("lab") < folders.index("base")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"text/html": "<b>bold</b>", "text/plain": "no"}, "<b>bold</b>"),
        ({"text/markdown": "*said*"}, "<em>said</em>"),
        ({"text/latex": "$x^2$", "text/plain": "x**2"}, "<msup>"),
        ({"image/png": DOT, "text/plain": "<Figure>"}, f'alt="A red dot" src="data:image/png;base64,{DOT}"'),
        ({"image/jpeg": "/9j/", "text/plain": "<Image>"}, 'alt="A red dot" src="data:image/jpeg;base64,/9j/"'),
        ({"image/svg+xml": "<svg/>"}, f'alt="A red dot" src="data:image/svg+xml;base64,{"PHN2Zy8+"}"'),
        ({"text/plain": "a < b"}, "a &lt; b</pre>"),
        ({"text/vnd.mermaid": "a --> b"}, "a --&gt; b</pre>"),
        ({"application/javascript": "alert(1)"}, "A script stands here, which works in JupyterLab only."),
        ({"application/javascript": "alert(1)", "text/plain": "said"}, "said</pre>"),
        ({WIDGET: {"model_id": "7"}}, "A control stands here, which works in JupyterLab only."),
        ({WIDGET: {"model_id": "7"}, "text/plain": "IntSlider(value=3)"}, "IntSlider(value=3)</pre>"),
        ({WIDGET: {"model_id": "7"}, "image/png": DOT}, f"base64,{DOT}"),
        ({"application/x-<b>": "?"}, "An output (application/x-&lt;b&gt;) stands here"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_every_kind_of_output_is_shown_or_named(data, expected):
    shown = main_of(page_with(cell_with(data)))
    assert expected in shown and "alert(1)" not in shown and "model_id" not in shown
    if "text/html" in data:
        assert "no" not in re.sub("<[^>]*>", " ", shown.partition("plot")[2]).split()


def test_streams_errors_and_raw_cells_are_shown():
    cell = nbformat.v4.new_code_cell("work()")
    cell.outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="<out>"),
        nbformat.v4.new_output("stream", name="stderr", text="\x1b[31mcareful\x1b[0m"),
        nbformat.v4.new_output("error", ename="E", evalue="no", traceback=["\x1b[31mE\x1b[0m: <no>"]),
    ]
    raw = nbformat.v4.new_raw_cell("<i>raw</i>", metadata={"raw_mimetype": "text/html"})
    shown = main_of(page_with(cell, raw))
    assert "&lt;out&gt;</pre>" in shown and "careful" in shown and "\x1b" not in shown
    assert "&lt;no&gt;" in shown and "<i>raw</i>" in shown


def test_pictures_keep_their_size_and_attachments_come_along():
    text = nbformat.v4.new_markdown_cell("![a plan](attachment:plan.png)", attachments={"plan.png": {"image/png": DOT}})
    page = page_with(text, cell_with({"image/png": DOT}, metadata={"image/png": {"width": 320, "height": 200}}))
    assert f'src="data:image/png;base64,{DOT}" alt="a plan"' in page
    assert 'width="320" height="200"' in page


def test_nothing_comes_from_outside_and_no_script_but_the_pages_own_may_run():
    notebook = nbformat.v4.new_notebook(cells=[cell_with({"text/html": "<script>alert(1)</script>"})])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"7": {"secret": 1}}}}
    page = page_of(notebook, title="a page")
    assert "secret" not in page and "jp-" not in page and len(page) < 45_000
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    own = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[-1]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy
    assert policy.count("sha256-") == 1 and "script-src 'unsafe" not in policy


def test_contents_name_two_levels_and_find_headings_of_the_same_words():
    text = "# Title\n\n## Part & piece\n\n### Detail\n\n## Other\n\n### Detail\n\n## Main"
    page = page_with(nbformat.v4.new_markdown_cell(text))
    nav = page.partition("<nav")[2].partition("</nav>")[0]
    assert re.findall(r'href="#([^"]+)"', nav) == ["main", "part-piece", "detail", "other", "detail-2", "main-2"]
    assert "Part &amp; piece" in nav and nav.count("<ol>") == 3
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_tables_say_what_they_are_sorted_by():
    rows = [
        [markup.Cell("<b>one</b>", "one"), markup.Cell("50%", 0.5), "x"],
        markup.Row([markup.Cell("two", "two"), markup.Cell("–", math.nan), markup.Cell("y", None)], fixed=True),
        ["failed & gone", '<span class="reason">why</span>'],
    ]
    html = markup.table(["A", "B", "C"], rows, "caption", numeric=(1,), sortable=True, sorted_by=1)
    assert re.findall(r"<th scope=\"col\"[^>]*>", html) == [
        '<th scope="col" role="columnheader" data-sort=text>',
        '<th scope="col" role="columnheader" class=n data-sort=number aria-sort=descending>',
        '<th scope="col" role="columnheader">',
    ]
    assert re.findall(r'data-value="([^"]*)"', html) == ["one", "0.5", "two"]
    assert html.count("data-fixed") == 1 and 'class="sortable"' in html and 'colspan="2"' in html
    plain = markup.table(["A", "B", "C"], rows, "caption")
    assert "data-" not in plain.replace("data-label", "").replace("data-fixed", "") and "<b>one</b>" in plain
