"""The report says what the run folders say, survives what is missing, and escapes what it did not write."""

import re
import shlex
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest
from experiment_factory import (
    broken_experiment,
    made_up_audit,
    photograph_table,
    recorded,
    write_run,
)

from dr_lib.errors import InputError
from dr_lib.plots.axes import TEXT, name_ends, panel
from dr_lib.report import markup, sections
from dr_lib.report.collect import collect
from dr_lib.report.drawing import inline_svg, interval_svg
from dr_lib.report.render import render_page
from dr_lib.storage.checksums import write_sealed_json
from dr_lib.storage.files import read_json, write_json, write_text
from dr_lib.storage.folders import ExperimentFolder

SECTIONS = [getattr(sections, name) for name in sections.__all__ if name not in ("block_figures", "stride_figure")]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return broken_experiment(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def results(experiment):
    return collect(experiment)


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_runs_are_found_and_only_finished_ones_count(results):
    assert len(results.runs) == 10 and len(results.done) == 8
    assert results.models == ("resnet18", "resnet50")
    broken = next(run for run in results.runs if run.name == "resnet18-broken")
    assert broken.metrics is None and broken.history is None
    accuracies = [run.test["accuracy"] for run in results.done]
    assert accuracies == sorted(accuracies, reverse=True)


def test_pairs_differ_in_one_thing(results):
    for without, with_it in results.pairs["pretrained"]:
        assert (without.pretrained, with_it.pretrained) == (False, True)
        assert (without.model, without.weighted) == (with_it.model, with_it.weighted)
    assert len(results.pairs["pretrained"]) == len(results.pairs["weighted"]) == 4
    assert [(a.network, b.network) for a, b in results.pairs["model"]] == [("ResNet18", "ResNet50")] * 4


def test_what_another_recipe_changes_is_not_put_down_to_pretraining(tmp_path):
    table, recipe = photograph_table(200), {"optimizer": "adamw", "epochs": 10}
    of_weights = {"pretrained_weights": "generated", "pretraining_photographs": 2000, "feature_extraction_epochs": 0}
    write_run(tmp_path, table, name="lab")
    write_run(tmp_path, table, name="strong-pretrained", pretrained=True, parameters=recipe | of_weights, skill=3.0)
    results = collect(tmp_path)
    assert results.pairs["pretrained"] == () and "retraining" not in text_of(sections.answer(results).data)
    assert "No two finished runs differ in pretraining alone" in text_of(sections.effects_table(results).data)

    write_run(tmp_path, table, name="strong-a-longer-name", parameters=recipe)
    results = collect(tmp_path)
    assert [(a.name, b.name) for a, b in results.pairs["pretrained"]] == [("strong-a-longer-name", "strong-pretrained")]
    assert [one.name for one in results.main] == ["strong-pretrained", "strong-a-longer-name"]


def test_a_deeper_network_may_have_smaller_batches_and_nothing_else(tmp_path):
    table = photograph_table(200)
    write_run(tmp_path, table, "resnet18")
    write_run(tmp_path, table, "resnet50", name="other", parameters={"weight_decay": 0.05})
    assert collect(tmp_path).pairs["model"] == ()
    write_run(tmp_path, table, "resnet50", parameters={"learning_rate": 0.0005})
    results = collect(tmp_path)
    assert [(a.name, b.name) for a, b in results.pairs["model"]] == [("resnet18", "resnet50")]
    assert "batch size 64 → 16; learning rate 0.001 → 0.0005" in text_of(sections.effects_table(results).data)


def test_table_has_every_run_and_the_majority(results):
    html = sections.runs_table(results).data
    for run in results.runs:
        assert run.name in html
    assert "failed: out of memory &lt;b&gt;" in html and "not finished: stopped or still at work" in html
    best = results.done[0]
    low, high = best.test["intervals"]["accuracy"]
    assert f"{100 * best.test['accuracy']:.1f}%" in html and f"{100 * low:.1f}% to {100 * high:.1f}%" in html
    assert f"{100 * results.majority:.1f}%" in html
    assert f"epoch {best.highest['epoch']}" in html
    assert 'href="runs/resnet50-pretrained/run.html"' in html


def test_every_accuracy_figure_and_table_shows_the_majority(results):
    majority = f"{100 * results.majority:.1f}%"
    for section in (sections.accuracy_figures, sections.confusion_figures, sections.class_weights):
        figures = re.findall(r"<figure.*?</figure>", section(results).data, re.DOTALL)
        assert figures and all(majority in figure for figure in figures)
    assert majority in sections.runs_table(results).data and majority in sections.highest_accuracies(results).data


def test_weights_are_named_wherever_runs_are_called_pretrained(results, tmp_path):
    for section in SECTIONS:
        text = text_of(re.sub(r"<svg.*?</svg>", "", section(results).data, flags=re.DOTALL))
        for match in re.finditer(r"(?<!-)\bpretrained (?!less|runs|network)", text):
            assert text[match.end() :].startswith("(ImageNet V2)"), text[match.start() - 40 : match.end() + 40]
    write_run(tmp_path, photograph_table(100), pretrained=True, weights_kind="generated")
    assert "pretrained (generated)" in text_of(sections.runs_table(collect(tmp_path)).data)


def test_answer_turns_with_the_numbers(tmp_path):
    table = photograph_table(600)
    for folder, skills in (("helps", (0.3, 1.5)), ("hurts", (1.5, 0.3)), ("equal", (1.0, 1.0))):
        for pretrained, skill in zip((False, True), skills, strict=True):
            write_run(tmp_path / folder, table, pretrained=pretrained, skill=skill, luck=pretrained)
    sweeps = {name: collect(tmp_path / name) for name in ("helps", "hurts", "equal")}
    answers = {name: text_of(sections.answer(results).data) for name, results in sweeps.items()}
    found = {name: text_of(sections.effects_table(results).data) for name, results in sweeps.items()}
    sentences = {
        "helps": "Pretraining raised accuracy and kappa.",
        "hurts": "Pretraining lowered accuracy and kappa.",
        "equal": "Pretraining makes no measurable difference to accuracy or kappa.",
    }
    for name, sentence in sentences.items():
        assert sentence in found[name] and sentence in answers[name]
        assert "No two finished runs differ in depth alone" in found[name]
        assert "depth" not in answers[name] and answers[name].count(". ") <= 5
    assert "pretrained (ImageNet V2) gains" in answers["helps"] and "loses" in answers["hurts"]
    assert "gains" not in answers["equal"] and "loses" not in answers["equal"]


def test_what_differs_beside_the_cause_is_said(results):
    assert "ResNet50 against ResNet18" in text_of(sections.effects_table(results).data)
    assert text_of(sections.effects_table(results).data).count("batch size 64 → 16") == 4
    assert "batch size" not in text_of(sections.training_course(results).data)


def test_an_epoch_chosen_on_testing_photographs_is_called_so(tmp_path):
    path = write_run(tmp_path, photograph_table(60))
    write_json(path / "metrics.json", read_json(path / "metrics.json") | {"select_by": "test_accuracy"})
    results = collect(recorded(path).parent.parent)
    assert "at the epoch chosen on testing, with" in sections.runs_table(results).data
    assert "no honest figure" in sections.highest_accuracies(results).data
    assert "epoch chosen on testing" in sections.accuracy_figures(results).data


def test_a_last_epoch_is_not_called_chosen(tmp_path):
    path = write_run(tmp_path, photograph_table(60))
    write_json(path / "metrics.json", read_json(path / "metrics.json") | {"select_by": "last"})
    results = collect(recorded(path).parent.parent)
    assert "kappa at the last epoch, with" in sections.runs_table(results).data
    assert "A dot is the last epoch" in sections.accuracy_figures(results).data
    assert (
        "<th" in (html := sections.highest_accuracies(results).data) and "Last epoch" in html and "chosen" not in html
    )


def test_the_highest_accuracy_is_compared_with_its_like(tmp_path):
    """Epochs see one view; the last test, of ten, may be above the best of them without the highest being unkind."""
    path = write_run(tmp_path, photograph_table(60))
    metrics = read_json(path / "metrics.json")
    highest = metrics["highest_testing_accuracy"]["accuracy"]
    write_json(path / "metrics.json", metrics | {"test": metrics["test"] | {"accuracy": highest + 0.1}})
    results = collect(recorded(path).parent.parent)
    assert "−" not in text_of(sections.highest_accuracies(results).data)
    table = text_of(sections.runs_table(results).data)
    assert f"{100 * (highest + 0.1):.1f}%" in table and "−10.0" not in table


def test_weighted_runs_alone_have_their_figures(tmp_path):
    write_run(tmp_path, photograph_table(60), weighted=True)
    results = collect(tmp_path)
    assert "ResNet18, weighted<" in sections.accuracy_figures(results).data
    assert "Confusion matrices with class weights" in sections.confusion_figures(results).data


def test_numbers_are_those_of_the_folder(experiment, results):
    metrics = read_json(ExperimentFolder(experiment).run("resnet18-pretrained").metrics)
    text = text_of(sections.highest_accuracies(results).data)
    assert f"{100 * metrics['highest_testing_accuracy']['accuracy']:.1f}%" in text
    assert f"epoch {metrics['highest_testing_accuracy']['epoch']}" in text
    assert f"{metrics['test']['kappa']:.2f}" in text


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_one_run_alone_makes_every_section(section, tmp_path):
    write_run(tmp_path, photograph_table(60), epochs=1)
    html = section(collect(tmp_path)).data
    assert "nan" not in text_of(html).lower().split() and "None" not in text_of(html)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_no_finished_run_breaks_no_section(section, tmp_path):
    write_run(tmp_path, photograph_table(60), state="failed", reason="no photographs")
    (tmp_path / "runs" / "resnet50-pretrained").mkdir()
    section(collect(tmp_path))


def test_seeds_are_one_row_and_their_own_links(tmp_path):
    for seed in range(3):
        write_run(tmp_path, photograph_table(200), seed=seed, luck=seed, name=f"resnet18-seed{seed}")
    results = collect(tmp_path)
    (one,) = results.configurations
    assert [run.seed for run in one.runs] == [0, 1, 2]
    assert results.find("resnet18", pretrained=False, weighted=False) is one
    html = sections.runs_table(results).data
    links = [f'href="runs/resnet18-seed{seed}/run.html">seed {seed}<' for seed in range(3)]
    assert "over 3 seeds" in html and all(link in html for link in links)
    assert "from the lowest of 3 seeds to the highest" in sections.accuracy_figures(results).data


def test_runs_with_other_parameters_or_the_same_seed_are_not_taken_for_seeds(tmp_path):
    table = photograph_table(100)
    write_run(tmp_path, table, name="one")
    write_run(tmp_path, table, name="again", luck=1)
    write_run(tmp_path, table, name="faster", seed=1, parameters={"learning_rate": 0.01})
    results = collect(tmp_path)
    assert sorted(one.label for one in results.configurations) == [
        "ResNet18 from scratch (again)", "ResNet18 from scratch (learning rate 0.01)", "ResNet18 from scratch (one)",
    ]  # fmt: skip
    assert results.find("resnet18", pretrained=False, weighted=False).name == "one"


def test_runs_that_claim_too_much_are_not_believed(tmp_path):
    path = write_run(tmp_path, photograph_table(60))
    (path / "predictions.csv").unlink()
    assert collect(tmp_path).runs[0].reason == "marked as done, but predictions.csv is missing"
    path = write_run(tmp_path, photograph_table(60), name="torn")
    write_text(path / "metrics.json", '{"test": ')
    torn = collect(tmp_path).runs[1]
    assert torn.state == "failed" and "cannot be read" in torn.reason


def test_no_runs_are_an_error_in_one_line(tmp_path):
    with pytest.raises(InputError, match="no runs there"):
        collect(tmp_path)
    with pytest.raises(InputError, match="run it first"):
        render_page(tmp_path / "no.ipynb", tmp_path / "no.html", title="no")


def test_damaged_files_are_listed_with_what_was_done(results):
    text = text_of(sections.damaged_files(results).data)
    for entry in made_up_audit(photograph_table(700))["damage"]["files"]:
        assert entry["status"] in text and entry["action"] in text
    assert "6.2%" in text and "3 are damaged" in text


def test_the_commands_to_repeat_a_run_can_be_pasted_whatever_the_folder_is_called(tmp_path):
    folder = tmp_path / "a; touch gone $(b)"
    write_run(folder, photograph_table(60))
    text = unescape(sections.provenance(collect(folder)).data)
    command = next(line for line in text.splitlines() if line.startswith("papermill"))
    assert shlex.split(command)[4].startswith(str(folder))


def test_the_commands_to_repeat_a_run_give_it_its_threads(tmp_path):
    """Other threads add up in another order: the same command gave another kappa."""
    path = write_run(tmp_path, photograph_table(60))
    config = read_json(path / "config.json")
    write_json(path / "config.json", config | {"device": config["device"] | {"threads": 3}})
    text = unescape(sections.provenance(collect(recorded(path).parent.parent)).data)
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("papermill"))
    assert lines[at - 1] == "export OMP_NUM_THREADS=3 MKL_NUM_THREADS=3" and "the runs had 3 threads" in text
    write_json(path / "config.json", config | {"device": {"type": "cuda"}})
    assert "export" not in sections.provenance(collect(recorded(path).parent.parent)).data


def test_runs_that_share_a_value_are_named_in_few_words(tmp_path):
    table = photograph_table(60)
    for seed in range(3):
        for weighted in (False, True):
            for model in ("resnet18", "resnet50"):
                name = f"{model}{'-weighted' * weighted}{f'-seed{seed}' * (seed > 0)}"
                write_run(tmp_path, table, model, weighted=weighted, seed=seed, name=name, epochs=1)
    text = text_of(sections.hyperparameters(collect(tmp_path)).data)
    assert "majority ratio 6 runs called …weighted…" in text and "none the 6 other runs" in text
    assert "1 resnet18-seed1, resnet18-weighted-seed1, resnet50-seed1 and resnet50-weighted-seed1" in text


def test_hyperparameters_differ_by_network(results):
    text = text_of(sections.hyperparameters(results).data)
    assert ".dr {" in markup.style().data and "{%" not in markup.style().data
    assert "64 ResNet18" in text and "16 ResNet50" in text and "cross entropy" in text


@pytest.mark.parametrize("name", ["$x$", r"costs $5 or $\frac{", r"$\href{a}{x}$", "a_b^c"])
def test_a_name_in_a_figure_is_no_formula(name):
    ax = panel()
    ax.set_yticks([0, 1], [name, "b"])
    name_ends(ax, {name: (0.5, TEXT)})
    root = ElementTree.fromstring(inline_svg(ax, name).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))
    assert [text for element in root.iter() if (text := (element.text or "").strip()) == name] == [name, name]


def test_audit_that_is_missing_is_said(tmp_path):
    write_run(tmp_path, photograph_table(60))
    assert "no audit" in sections.damaged_files(collect(tmp_path)).data
    write_sealed_json(tmp_path / "audit.json", made_up_audit(photograph_table(60)) | {"patients_on_both_sides": None})
    assert "their other eye" not in sections.data_card(collect(tmp_path)).data


def test_runs_that_answer_alike_are_drawn_at_zero():
    """Networks that give every photograph the commonest grade differ in nothing, so there is no scale."""
    svg = interval_svg(0.0, (0.0, 0.0), 0.0, (0.0, 0.0), "no difference")
    assert "nan" not in svg and "no difference" in svg


def test_a_report_says_what_its_photographs_are(tmp_path):
    folder = write_run(tmp_path, photograph_table(200))
    assert "For research, not for diagnosis." in text_of(sections.limits_line(collect(tmp_path)).data)
    assert "never seen an eye" not in text_of(sections.limits_line(collect(tmp_path)).data)
    config = read_json(folder / "config.json")
    config["data"]["generated"] = True
    write_json(folder / "config.json", config)
    said = text_of(sections.limits_line(collect(recorded(folder).parent.parent)).data)
    assert "Generated photographs: these networks have never seen an eye." in said and "One seed each." in said
    counts = config["data"]["splits"]["test"]["counts"]
    assert f"{counts[0]} no DR" in said and f"{counts[4]} proliferative" in said


def test_counts_and_majority_are_those_of_the_photographs_used(results):
    """The audit is about all that is there; a run leaves out what is damaged, and what is beyond its limit."""
    splits = {name: split | {"counts": [9, 9, 9, 9, 9]} for name, split in results.audit["splits"].items()}
    other = replace(results, audit=results.audit | {"splits": splits, "majority_accuracy": 0.123})
    assert other.splits == results.done[0].config["data"]["splits"] != splits
    assert other.majority == results.done[0].test["majority_accuracy"]
    nothing = replace(other, runs=())
    assert nothing.splits == splits and nothing.majority == 0.123
