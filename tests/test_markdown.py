"""The report as Markdown: what names and texts turn into when it is shown, its tables, its pictures as files."""

import base64
import io
import re
from html import unescape
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from experiment_factory import EVIL_NAME, built_report
from markdown_it import MarkdownIt
from PIL import Image

from dr_lib.plots import plot_confusion
from dr_lib.plots.axes import TEXT, name_ends, panel
from dr_lib.report import markup
from dr_lib.report.drawing import block_svg, inline_svg, interval_svg
from dr_lib.report.formulas import markdown_to_html
from dr_lib.report.markdown import notebook_to_markdown, write_markdown
from dr_lib.report.markdown_html import html_to_markdown
from dr_lib.report.markdown_text import code, escape_text, fenced, heading
from dr_lib.report.standalone import standalone_svg
from dr_lib.storage.folders import ExperimentFolder

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
"""CommonMark with raw HTML and GitHub's tables, by another hand than the one that wrote the Markdown."""

HOSTILE = [
    EVIL_NAME, "<img src=x onerror=alert(1)>", "a_b_c", "_a_", "*a*", "**a**", "`a`", "``", "[a](javascript:alert(1))",
    "![a](b)", "<http://a.b>", "# a", "#a", "> a", "- a", "+ a", "1. a", "12) a", "---", "===", "a | b", r"a \| b",
    "~~a~~", "&lt;b&gt;", "&amp;", "a & b", r"\*a*", "$x$ and $$y$$", "-->", "<!-- a", "</details>", "a  b", "2020. a",
    "*", "a\\",
]  # fmt: skip


class Kept:
    def __init__(self):
        self.files = []

    def keep(self, data, ending, shows):
        self.files.append((data, ending, shows))
        return f"figures/{len(self.files)}.{ending}"


def shown(markdown):
    """Return the text that a reader sees, and the tags around it."""
    root = ElementTree.fromstring(f"<all>{GITHUB.render(markdown)}</all>")
    return "".join(root.itertext()).strip(), [element.tag for element in root.iter()][1:]


@pytest.mark.parametrize("name", HOSTILE)
def test_text_is_shown_letter_for_letter(name):
    seen = " ".join(name.split())
    assert shown(escape_text(seen)) == (seen, ["p"])
    assert shown(f"x\n\n{escape_text(seen)}\n\ny")[1] == ["p", "p", "p"]
    assert shown(code(name)) == (seen, ["p", "code"])
    text, tags = shown(fenced(f"{name}\n```\n````"))
    assert text == f"{name}\n```\n````" and tags == ["pre", "code"]


@pytest.mark.parametrize(
    "name",
    [*HOSTILE, r"\(x\)", r"\\(x\\)", r"\[x\]", "a #", "## ##", "a\n\n# b", "![a](https://a.example/b.png)", "www.a.b"],
)
def test_a_heading_is_shown_letter_for_letter(name):
    """In a notebook's cell, where formulas are set, and on GitHub."""
    seen = " ".join(name.split())
    page = re.fullmatch(r'<h1 id="[^"]*">(.*)</h1>\n', markdown_to_html(heading(name)))
    assert page and "<" not in page[1] and unescape(page[1]) == seen
    assert shown(heading(name)) == (seen, ["h1"])


@pytest.mark.parametrize("name", ["$x$", r"costs $5 or $\frac{", r"$\href{a}{x}$", "a_b^c"])
def test_a_name_in_a_figure_is_no_formula(name):
    ax = panel()
    ax.set_yticks([0, 1], [name, "b"])
    name_ends(ax, {name: (0.5, TEXT)})
    root = ElementTree.fromstring(inline_svg(ax, name).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))
    assert [text for element in root.iter() if (text := (element.text or "").strip()) == name] == [name, name]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_tables_stay_in_their_cells(name):
    safe = markup.escape(name)
    table = markup.table(["File", "Name"], [[f"<code>{safe}</code>", safe], [safe, f"<b>{safe}</b>"]], name)
    markdown = html_to_markdown(table, Kept())
    root = ElementTree.fromstring(f"<all>{GITHUB.render(markdown)}</all>")
    cells = ["".join(cell.itertext()) for cell in root.iter() if cell.tag in ("td", "th")]
    seen = " ".join(name.split())
    assert cells == ["File", "Name", seen, seen, seen, seen], markdown
    assert "".join(root.find("p").itertext()) == seen
    assert {element.tag for element in root.iter()} <= {
        "all", "p", "em", "table", "thead", "tbody", "tr", "th", "td", "code", "strong"
    }  # fmt: skip


def test_no_formulas_and_links_come_of_names():
    assert escape_text("$a$") == r"\$a\$" and escape_text("https://a.b www.c.d") == r"https:\//a.b www\.c.d"


def test_tables_have_their_second_lines_beside_the_first_and_no_drawings():
    drawing = interval_svg(0.5, (0.4, 0.6), 0.7, (0.0, 1.0), "accuracy 50%")
    rows = [
        ['<span class="key"></span><b>Net</b><span class="sub">plain</span><span class="sub">run</span>',
         '50% <span class="sub">epoch 3</span>', f'{drawing}<span class="sub">40% to 60%</span>', drawing],
        ["broken", '<span class="reason">no disk</span>'],
    ]  # fmt: skip
    markdown = html_to_markdown(markup.table(["Run", "Right", "95%", "Drawn"], rows, "All.", numeric=(1,)), Kept())
    assert markdown.splitlines() == [
        "*All.*",
        "",
        "| Run | Right | 95% |",
        "| --- | ---: | --- |",
        "| **Net**, plain, run | 50% (epoch 3) | 40% to 60% |",
        "| broken | no disk |  |",
    ]


def test_figures_become_pictures_with_their_texts():
    kept, photograph = Kept(), np.full((40, 40, 3), 90, np.uint8)
    panels = [
        ("Net\naccuracy 50%", inline_svg(plot_confusion(np.eye(5, dtype=int)), "A matrix & more")),
        ("", markup.photograph(photograph, "An eye <1>")),
    ]
    markdown = html_to_markdown(markup.figure(panels, "Title.", "Caption."), kept)
    assert markdown.split("\n\n") == [
        "**Net**, accuracy 50%",
        "![A matrix & more](figures/1.svg)",
        r"![An eye \<1>](figures/2.jpg)",
        "**Title.** Caption.",
    ]
    assert [(ending, shows) for _, ending, shows in kept.files] == [("svg", "A matrix & more"), ("jpg", "An eye <1>")]
    assert Image.open(io.BytesIO(kept.files[1][0])).size == (220, 220)


@pytest.mark.parametrize(
    "svg",
    [
        inline_svg(plot_confusion(np.arange(25).reshape(5, 5)), "matrix"),
        block_svg(["3×3 conv, 64", "3×3 conv, 64"], 'a "block" & more', marked=1),
    ],
    ids=["plot", "diagram"],
)
def test_drawings_stand_on_their_own(svg):
    file = standalone_svg(svg)
    root = ElementTree.fromstring(file)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("aria-label")
    assert "var(" not in file and "--" not in file.replace("-->", "") and "sans-serif" in file
    ground = next(iter(root.iter("{http://www.w3.org/2000/svg}rect")))
    assert ground.get("fill") == "#ffffff"
    assert [float(root.get(side)) for side in ("width", "height")] == [
        float(ground.get(s)) for s in ("width", "height")
    ]
    # Classes are nothing without the page's style sheet.
    styles = "".join(style.text for style in root.iter("{http://www.w3.org/2000/svg}style"))
    for element in root.iter():
        for name in (element.get("class") or "").split():
            assert name == "diagram" or f".{name} " in styles


def test_outputs_of_every_kind_have_their_place():
    cell = nbformat.v4.new_code_cell("# A red dot\nplot()")
    png = base64.b64encode(b"\x89PNG").decode()
    cell.outputs = [
        nbformat.v4.new_output("stream", text="10%\r20%\r<done>\n"),
        nbformat.v4.new_output("display_data", data={"image/png": png, "text/plain": "<Figure>"}),
        nbformat.v4.new_output("execute_result", data={"text/plain": "42"}),
        nbformat.v4.new_output("error", ename="ValueError", evalue="```", traceback=["x"]),
        nbformat.v4.new_output("display_data", data={"application/javascript": "alert(1)"}),
    ]
    hidden = nbformat.v4.new_code_cell("1", metadata={"tags": ["setup"]})
    hidden.outputs = [nbformat.v4.new_output("stream", text="not this")]
    text = nbformat.v4.new_markdown_cell("# T\n\n$x_1$")
    markdown, files = notebook_to_markdown(nbformat.v4.new_notebook(cells=[text, hidden, cell]))
    assert markdown == (
        "# T\n\n$x_1$\n\n```text\n<done>\n```\n\n![A red dot](figures/01-a-red-dot.png)\n\n"
        "```text\n42\n```\n\n````text\nValueError: ```\n````\n"
    )
    assert files == {"01-a-red-dot.png": b"\x89PNG"}


def test_pictures_of_an_earlier_report_go_and_nothing_else_does(tmp_path):
    def report(*shows):
        cells = [nbformat.v4.new_code_cell(f"# {text}\nplot()") for text in shows]
        for cell in cells:
            cell.outputs = [nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})]
        write_markdown(nbformat.v4.new_notebook(cells=cells), ExperimentFolder(tmp_path))

    report("../../etc/passwd", "Two", "Three")
    folder = tmp_path / "figures"
    assert {path.name for path in folder.iterdir()} == {"01-etc-passwd.png", "02-two.png", "03-three.png"}
    (folder / "mine.png").write_text("mine")
    (folder / "04-mine.png").write_text("mine")
    (tmp_path / "05-outside.png").write_text("mine")
    with (tmp_path / "report.md").open("a") as stream:
        stream.write("![x](figures/../05-outside.png) ![y](figures/mine.png)")
    report("Two")
    assert {path.name for path in folder.iterdir()} == {"01-two.png", "mine.png", "04-mine.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "figures", "05-outside.png"}


@pytest.mark.notebooks
def test_markdown_of_the_report_says_what_the_page_says(tmp_path_factory):
    experiment = ExperimentFolder(built_report(tmp_path_factory.getbasetemp()))
    markdown, page = experiment.report_markdown.read_text(), experiment.report.read_text()
    rendered = GITHUB.render(markdown)
    assert re.findall(r"<h[1-3]>(.*?)</h", rendered) == [
        re.sub("<[^>]*>", "", text) for text in re.findall(r"<h[1-3][^>]*>(.*?)</h[1-3]>", page)
    ]
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", markdown)
    assert all(len(shows) > 10 for shows, _ in pictures)
    assert {address for _, address in pictures} == {f"figures/{file.name}" for file in experiment.figures.iterdir()}
    drawn = [tag for tag in re.findall(r"<svg\b[^>]*>", page) if 'class="ci"' not in tag]
    assert len(pictures) == len(drawn) + page.count("<img ")
    assert "$$" in markdown and "<script" not in rendered and "alert(1)" in rendered
    assert rendered.count("<table") == page.count("<table") and rendered.count("<details") == page.count(
        'details class="more"'
    )
    for file in experiment.figures.iterdir():
        assert re.fullmatch(r"\d{2,}-[a-z0-9-]+\.(svg|jpg)", file.name)
