import sys

import pytest


@pytest.fixture(autouse=True)
def no_figure_is_left_to_pyplot():
    """Plots give back Axes of figures of their own; one that pyplot keeps would never be freed."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        left = pyplot.get_fignums()
        pyplot.close("all")
        assert not left
