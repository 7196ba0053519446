import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from data_folders import eyes, write_course, write_photographs
from experiment_factory import photograph_table, write_experiment, write_run, write_sweep

import dr_lib
from dr_lib import GRADE_NAMES, GRADES
from dr_lib.config import RunConfig
from dr_lib.errors import InputError
from dr_lib.report.build import build_report
from dr_lib.storage.files import read_json
from dr_lib.storage.folders import ExperimentFolder
from dr_lib.training.run import train_run

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
NAMES = {"audit", "explore", "pretrain", "report", "train"}


def test_all_five_are_there():
    assert {path.stem for path in NOTEBOOKS} == NAMES


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_thin_and_hold_no_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert "=" in line and "#" in line, f"a parameter needs its value and a comment: {line}"
    for cell in cells:
        lines = cell.source.splitlines()
        assert not any(line.lstrip().startswith(("def ", "class ", "async def ")) for line in lines)
        # Imports and parameters are lists; all else is one sentence's worth of calls.
        listing = {"setup", "parameters"} & set(cell.metadata.get("tags", []))
        assert listing or len(lines) <= 5


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    training, testing = eyes(range(1, 11)), eyes(range(11, 16))
    write_course(folder / "course", training, testing)
    write_photographs(folder / "course", [*training, *testing])
    return RunConfig(
        data_dir=str(folder / "course"), cache_dir=str(folder / "cache"), out_dir=str(folder / "experiment"),
        resize=40, image_size=36, batch_size=8, epochs=1, validation_share=0.2,
    )  # fmt: skip


def outputs(path, kind="text/html"):
    """Return the outputs of an executed notebook, as one text."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    values = [output for cell in cells for output in cell.outputs]
    return "\n".join(str(value.get("data", {}).get(kind, value.get("text", ""))) for value in values)


@pytest.mark.slow
@pytest.mark.notebooks
def test_plain_papermill_runs_the_training_notebook_with_params_files(config, tmp_path):
    """As in the README: the notebook, a file of data, a file of the run; the kernel's folder is the caller's."""
    data = tmp_path / "data.yaml"
    given = config.model_dump(include=config.model_fields_set)
    data.write_text("".join(f"{key}: {value}\n" for key, value in given.items()))
    run = NOTEBOOKS[0].parent.parent / "params" / "runs" / "resnet18-weighted.yaml"
    command = [
        sys.executable, "-m", "papermill", str(NOTEBOOKS[-1]), str(tmp_path / "out.ipynb"), "-f", str(data),
        "-f", str(run), "--no-progress-bar",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = ExperimentFolder(Path(config.out_dir)).run("resnet18-weighted")
    assert folder.read_status()["state"] == "done"
    recorded = read_json(folder.config)
    counts = recorded["data"]["splits"]["train"]["counts"]
    assert recorded["class_weights"] == [counts[0] / count for count in counts]
    text = outputs(tmp_path / "out.ipynb", "text/plain")
    assert "epoch 1/1: loss " in text and ", validation kappa " in text
    assert "photographs of" in outputs(tmp_path / "out.ipynb") and '"image/png"' in (tmp_path / "out.ipynb").read_text()
    for debris in ("it/s", "%|", "HBox", "FloatProgress"):
        assert debris not in text, "progress bars leave no trace in a saved notebook"
    assert "widget-view" not in (tmp_path / "out.ipynb").read_text()


@pytest.mark.slow
@pytest.mark.notebooks
def test_a_parameter_that_is_none_stops_the_notebook_in_one_line(tmp_path):
    """Plain papermill, of which a wrong name is one line with the nearest one, and no frames of the library."""
    command = [sys.executable, "-m", "papermill", str(NOTEBOOKS[-1]), "out.ipynb", "-p", "modle", "resnet50"]
    done = subprocess.run([*command, "--no-progress-bar"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    (failed,) = [
        output
        for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert failed.traceback == ["InputError: unknown parameter 'modle'; did you mean 'model'?"]


@pytest.mark.slow
@pytest.mark.notebooks
def test_explore_shows_photographs_and_answers(config, tmp_path):
    run = train_run(config.model_copy(update={"name": "explored"}))
    papermill.execute_notebook(
        NOTEBOOKS[1], tmp_path / "out.ipynb", {"experiment_dir": config.out_dir, "run": "explored", "image": "11_left"},
        progress_bar=False, kernel_name="python3",
    )  # fmt: skip
    html = outputs(tmp_path / "out.ipynb")
    assert f"<h2>Run explored in {config.out_dir}</h2>" in html
    row = run.read_predictions().set_index("image").loc["11_left"]
    for grade in GRADES:
        assert f"<th>{grade} {GRADE_NAMES[grade]}</th>\n      <td>{row[f'p{grade}']:.3f}</td>" in html
    text = outputs(tmp_path / "out.ipynb", "text/plain")
    assert "11_right" in text  # the other eye
    # The panel says in words what it is to who reads the saved notebook, not in the texts of all its parts.
    assert "Panel to choose photographs" in text and "VBox" not in text
    assert (tmp_path / "out.ipynb").read_text().count('"image/png"') >= 6
    gallery = html[html.index("Each step alone on 11_left") :]
    for line in ("augmentations: [RandomCrop]", "test_time_augmentation: TenCrop", "normalization: zca"):
        assert f"<code>{line}</code>" in gallery
    assert gallery.count("<img") > 60


@pytest.mark.slow
@pytest.mark.notebooks
def test_the_report_notebook_is_taken_apart_with_standard_tools(tmp_path):
    """Executed with a cell of the user's own; nbconvert as it comes turns it into HTML and Markdown."""
    experiment = write_experiment(tmp_path / "lab", photographs=60)
    executed = tmp_path / "out.ipynb"
    parameters = {"experiment_dir": str(experiment), "metric": "accuracy"}
    notebook = nbformat.read(NOTEBOOKS[0].parent / "report.ipynb", 4)
    notebook.cells.insert(1, nbformat.v4.new_code_cell("mine = 1", metadata={"tags": ["setup"]}))
    nbformat.write(notebook, tmp_path / "report.ipynb")
    papermill.execute_notebook(
        tmp_path / "report.ipynb", executed, parameters, progress_bar=False, kernel_name="python3"
    )
    tables = figures = 0
    for cell in nbformat.read(executed, 4).cells:
        if cell.cell_type == "code" and not {"setup", "parameters", "injected-parameters"} & set(cell.metadata.tags):
            (output,) = cell.outputs
            drawn = cell.source.endswith(";")
            assert set(output.data) == {"text/plain", "image/png" if drawn else "text/html"}, cell.source
            assert drawn or output.data["text/html"].count('class="dataframe"') == 1
            tables, figures = tables + (not drawn), figures + drawn
    for form in ("html", "markdown"):
        subprocess.run(
            [sys.executable, "-m", "nbconvert", "--to", form, "--log-level", "ERROR", str(executed)], check=True,
        )  # fmt: skip
    page, text = (tmp_path / "out.html").read_text(), (tmp_path / "out.md").read_text()
    for shown in (page, text):
        assert shown.count('class="dataframe"') == tables > 10 and "ResNet50 from scratch, weighted" in shown
    assert page.count('src="data:image/png;base64') == len(list((tmp_path / "out_files").iterdir())) == figures > 5


@pytest.mark.notebooks
def test_the_report_notebook_refuses_a_parameter_that_it_has_not(tmp_path):
    notebook = NOTEBOOKS[0].parent / "report.ipynb"
    with pytest.raises(papermill.PapermillExecutionError, match="unknown parameter 'metrics'; did you mean 'metric'"):
        papermill.execute_notebook(
            notebook, tmp_path / "out.ipynb", {"metrics": "kappa"}, progress_bar=False, kernel_name="python3"
        )


@pytest.mark.slow
@pytest.mark.notebooks
@pytest.mark.parametrize("runs", ["none", "one", "sweep", "unreachable photographs of one kind"])
def test_the_report_notebook_works_for_any_experiment(runs, tmp_path):
    table = photograph_table(60)
    if runs == "sweep":
        write_sweep(tmp_path, {"batch_size": [8, 16]}, photographs=60)
    elif runs == "one":
        write_run(tmp_path, table, epochs=1)
    elif runs != "none":
        write_run(tmp_path, table.assign(grade=0))
    write_run(tmp_path, table, name="broken", state="failed", reason="no disk")
    build_report(tmp_path, normalize=None)
    notebook = nbformat.read(ExperimentFolder(tmp_path).report_notebook, 4)
    executed = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert all(executed) if runs != "none" else not any(executed)
    assert any("normalize = None" in cell.source for cell in notebook.cells)


def test_the_latest_experiment_is_never_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"reports: no run has finished there; `dr-lab run --data .*` trains some"):
        dr_lib.load_experiment()
    assert not list(tmp_path.iterdir())
    write_run(Path("reports/lab"), photograph_table(60))
    folder = ExperimentFolder(Path("reports/lab")).run("resnet18")
    folder.best_checkpoint.parent.mkdir()
    folder.best_checkpoint.touch()
    assert dr_lib.load_experiment().path == Path("reports/lab")
