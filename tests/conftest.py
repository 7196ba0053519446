import os
import sys

import pytest

# Each worker has a core of its own at most: threads of OpenBLAS spin while they wait for each other, and those of torch
# wait for the slowest. Before numpy and torch are imported, and for all processes that tests start.
for library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


LONGEST = [
    "test_cluster", "test_training", "test_odd_inputs", "test_cli", "test_effects", "test_survival", "test_scan",
    "test_browser", "test_notebooks", "test_seeds", "test_jupyterlab", "test_inference", "test_processes",
    "test_surroundings", "test_prepare", "test_checksums", "test_ranking", "test_sweeps", "test_inspection",
    "test_process_pool", "test_explanation_sections", "test_report", "test_public", "test_models",
    "test_notebook_runner",
]  # fmt: skip
"""Files that take longest: at the end, one worker would be left alone with them. Those that start many processes, such
as kernels, alternate with those that start none, and so have a core and a half."""


def pytest_collection_modifyitems(items):
    """Order files as :data:`LONGEST` has them, the others after them."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """With DR_REQUIRE_BROWSER set, a browser test that skips itself fails, unless it needs real photographs."""
    report = yield
    required = os.environ.get("DR_REQUIRE_BROWSER") and item.get_closest_marker("browser")
    if required and report.skipped and not hasattr(report, "wasxfail") and not item.get_closest_marker("real"):
        report.outcome, report.longrepr = "failed", f"a browser test may not be skipped here: {report.longrepr[2]}"
    return report


@pytest.fixture(autouse=True)
def no_figure_is_left_to_pyplot():
    """Plots give back Axes of figures of their own; one that pyplot keeps would never be freed."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        left = pyplot.get_fignums()
        pyplot.close("all")
        assert not left


@pytest.fixture(scope="module")
def one_core():
    """Keep the tests of a module, and so their one decoder, on a core; two take another second to begin, each time."""
    cores = sorted(os.sched_getaffinity(0))
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {cores[worker % len(cores)]})
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture
def all_cores(one_core):
    """Let a test of such a module have all processors."""
    one = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    yield
    os.sched_setaffinity(0, one)
