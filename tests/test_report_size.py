"""The report of eight runs on 7,026 photographs stays one file that can be passed on."""

import re

import pytest
from large_experiment import write_large_experiment

from dr_lib.report.build import build_report
from dr_lib.storage.folders import ExperimentFolder


@pytest.mark.slow
@pytest.mark.notebooks
def test_eight_runs_of_7026_photographs_fit_in_10_megabytes(tmp_path):
    experiment = ExperimentFolder(write_large_experiment(tmp_path))
    size = build_report(experiment.path).stat().st_size
    page = experiment.report.read_text()
    assert page.count("data:image/jpeg") > 25 and len(re.findall("7,026", page)) > 1
    assert size < 10e6
    assert experiment.report_notebook.stat().st_size < 10e6
    for path in (experiment.summary, experiment.results_table, experiment.results):
        assert path.stat().st_size < 1e6
