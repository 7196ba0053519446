"""The report in a few lines of Markdown: what names turn into when it is shown, and that it says what the page says."""

import re
from xml.etree import ElementTree

import pytest
from experiment_factory import EVIL_NAME, photograph_table, write_experiment, write_run, write_sweep
from markdown_it import MarkdownIt

from dr_lib.report import sections
from dr_lib.report.collect import collect
from dr_lib.report.summary_file import escape_markdown, summary_markdown
from dr_lib.storage.checksums import read_sealed_json, write_sealed_json
from dr_lib.storage.folders import ExperimentFolder

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
"""CommonMark with raw HTML and GitHub's tables, by another hand than the one that wrote the Markdown."""

HOSTILE = [
    EVIL_NAME, "<img src=x onerror=alert(1)>", "a_b_c", "_a_", "*a*", "**a**", "`a`", "``", "[a](javascript:alert(1))",
    "![a](b)", "<http://a.b>", "# a", "#a", "> a", "- a", "+ a", "1. a", "12) a", "---", "===", "a | b", r"a \| b",
    "~~a~~", "&lt;b&gt;", "&amp;", "a & b", r"\*a*", "$x$ and $$y$$", "-->", "<!-- a", "</details>", "a  b", "2020. a",
    "*", "a\\", r"\(x\)", r"\[x\]", "a #", "## ##", "a\n\n# b", "![a](https://a.example/b.png)", "www.a.b",
]  # fmt: skip


def rendered(markdown):
    return ElementTree.fromstring(f"<all>{GITHUB.render(markdown)}</all>")


def seen(element):
    return "".join(element.itertext()).strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_text_is_shown_letter_for_letter(name):
    text = " ".join(name.split())
    for around in ("{}", "x\n\n{}\n\ny"):
        shown = rendered(around.format(escape_markdown(name)))
        assert {element.tag for element in shown.iter()} == {"all", "p"} and text in seen(shown)


def test_no_formulas_and_links_come_of_names():
    assert escape_markdown("$a$ https://a.b www.c.d") == r"\$a\$ https:\//a.b www\.c.d"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = write_sweep(tmp_path_factory.mktemp("sweep"), {"ema_decay": [0.9]}, photographs=60)
    write_run(folder, photograph_table(60), name="broken", state="failed")
    return ExperimentFolder(folder)


@pytest.mark.parametrize("name", HOSTILE)
def test_titles_and_reasons_stay_where_they_belong(name, sweep):
    write_sealed_json(sweep.sweep, read_sealed_json(sweep.sweep) | {"title": name})
    sweep.run("broken").write_status("failed", reason=name)
    shown = rendered(summary_markdown(collect(sweep.path)))
    text = " ".join(name.split())
    assert [seen(heading) for heading in shown.iter("h1")] == [text]
    assert [seen(cell) for cell in list(shown.iter("tr"))[-1]] == ["broken", f"failed: {text}".strip(), "", ""]
    assert {element.tag for element in shown.iter()} <= {
        "all", "h1", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "a"
    }  # fmt: skip


def test_it_says_what_the_page_says(tmp_path):
    experiment = collect(write_experiment(tmp_path, photographs=300))
    shown = rendered(summary_markdown(experiment))
    answer = re.sub(r"<[^>]*>", " ", sections.answer(experiment).data).split()
    assert " ".join(answer) in " ".join(seen(shown).split())
    rows = [[seen(cell) for cell in row] for row in shown.iter("tr")]
    best = experiment.top[0]
    accuracy = best.figure("accuracy")
    said = f"{100 * accuracy.mean:.1f}% ({100 * accuracy.low:.1f}% to {100 * accuracy.high:.1f}%)"
    assert len(rows) == 10 and rows[1][:2] == [best.label, said] and rows[9][0] == "always the commonest grade"
    assert "those of data/nowhere" in seen(shown) and "Grade 0 has" in seen(shown)


def test_there_is_one_without_a_finished_run(tmp_path):
    write_run(tmp_path, photograph_table(60), state="failed", reason="no disk")
    text = summary_markdown(collect(tmp_path))
    assert "No run has finished yet" in text and "failed: no disk" in text
