import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from data_folders import eyes, write_course, write_photographs

from dr_lib import inspection
from dr_lib.config import RunConfig
from dr_lib.data.prepare import prepare_data

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "audit.ipynb"
TRAIN, TEST = eyes(range(10)), {"3_x": 1} | eyes(range(20, 24))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_course(folder, TRAIN, TEST | {"5_left_again": 0})
    write_photographs(folder, [*TRAIN, *TEST, "5_left_again"])
    for name, end in (("20_left", -2), ("21_left", -300), ("22_left", 100)):
        path = folder / f"{name}.jpeg"
        path.write_bytes(path.read_bytes()[:end])
    return folder


@pytest.fixture(scope="module")
def data(folder, tmp_path_factory):
    cache_dir = str(tmp_path_factory.mktemp("cache"))
    return prepare_data(RunConfig(data_dir=str(folder), cache_dir=cache_dir), progress=False)


def parameters():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    (source,) = ("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    return dict(re.fullmatch(r"(\w+) = .*?  # (.*)", line).groups() for line in source.splitlines())


def test_class_table_has_counts_and_per_cent_of_each_split(data):
    table = inspection.class_table(data)
    assert table["train"].tolist() == [*data.audit["splits"]["train"]["counts"], 18]
    assert table["train %"].iloc[-1] == "100.00"
    assert table["name"].tolist()[:2] == ["no DR", "mild"]


def test_patients_table(data):
    table = inspection.patients_table(data)
    assert table.loc["test", "photographs"] == data.audit["splits"]["test"]["photographs"]
    assert (table["of them also in another split"] == 0).all()


def test_description_names_the_split_and_the_leak(data):
    html = inspection.describe(data).data
    assert "without a header" in html and "split given" in html
    assert "None of the 6 testing patients has a photograph among those trained on" in html
    assert "96 px wide" in html


def test_damaged_photographs_are_shown_with_their_names(data):
    html = inspection.damaged_photographs(data).data
    for part in ("20_left", "21_left", "22_left", "end marker missing", "truncated", "unreadable", "Pillow: OSError"):
        assert part in html
    assert html.count("<img") == 2  # nothing is left of the third


def test_samples_of_each_grade(data):
    html = inspection.sample_photographs(data, per_grade=2).data
    assert html.count("<img") == 10


def test_the_notebooks_parameters_are_those_of_the_configuration():
    fields = RunConfig.model_fields
    assert len(parameters()) > 10
    for name, comment in parameters().items():
        assert comment == fields[name].description


def test_the_notebook_is_thin_and_has_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            assert not re.search(r"^\s*(def|class) ", "".join(cell["source"]), re.MULTILINE)


@pytest.mark.notebooks
def test_the_notebook_writes_the_audit(folder, tmp_path):
    given = {"data_dir": str(folder), "cache_dir": str(tmp_path / "cache"), "out_dir": str(tmp_path / "out")}
    options = [option for name, value in given.items() for option in ("-p", name, value)]
    command = [sys.executable, "-m", "papermill", str(NOTEBOOK), str(tmp_path / "audit.ipynb"), *options]
    environment = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    done = subprocess.run(
        [*command, "--no-progress-bar", "-k", "python3"],
        cwd=NOTEBOOK.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["damage"]["checked"] == 30
    assert {entry["image"] for entry in found["damage"]["files"]} == {"20_left", "21_left", "22_left"}
