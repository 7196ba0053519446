"""Photographs that are shown, decoded within limits."""

import numpy as np
import pandas as pd
import psutil
import pytest
from data_folders import picture, write_photographs
from hostile import Hostile
from PIL import Image

from dr_lib.data import isolated_decoding as apart
from dr_lib.explore.loaded_run import LoadedRun
from dr_lib.report.audit_results import Audit
from dr_lib.report.pictures import ExperimentPhotographs


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    names = ["a", "hangs", "kills", "b"]
    write_photographs(tmp_path, names)
    monkeypatch.setattr(apart, "SECONDS_A_FILE", 3.0)
    return Hostile({name: tmp_path / f"{name}.jpeg" for name in names})


@pytest.mark.slow
def test_a_report_leaves_out_what_its_decoder_does_not_survive(photographs):
    shown = dict(ExperimentPhotographs(pd.DataFrame(), photographs, frozenset()).opened(["a", "hangs", "kills", "b"]))
    assert list(shown) == ["a", "b"]
    np.testing.assert_array_equal(shown["b"], photographs.pixels("b"))


@pytest.mark.slow
def test_audit_and_exploration_decode_within_the_same_limits(photographs):
    audit = Audit({}, photographs, pd.DataFrame({"image": list(photographs.paths), "status": "intact"}))
    assert audit.thumbnail("hangs") is None and audit.thumbnail("a").size == (96, 80)
    run = LoadedRun(None, None, type("Data", (), {"photographs": photographs}), pd.DataFrame())
    with pytest.raises(OSError, match="SIGKILL"):
        run.pixels("kills")
    np.testing.assert_array_equal(run.pixels("a"), photographs.pixels("a"))


def test_what_decoding_raises_is_raised_and_the_worker_goes_on(photographs, tmp_path):
    (tmp_path / "a.jpeg").write_bytes(b"")
    decoder = apart.IsolatedDecoder()
    with pytest.raises(OSError, match="cannot identify"):
        decoder.pixels(photographs, "a")
    Image.fromarray(np.asarray(picture())).save(tmp_path / "a.jpeg")
    assert decoder.pixels(photographs, "a").shape == (80, 96, 3)


def test_the_worker_ends_with_whoever_looks(photographs):
    decoder, before = apart.IsolatedDecoder(), psutil.Process().children()
    decoder.pixels(photographs, "a")
    workers = set(psutil.Process().children()) - set(before)
    del decoder
    assert workers and not any(worker.is_running() for worker in workers)
