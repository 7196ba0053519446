"""Sphinx: ``make docs`` writes docs/_build/html; a broken link or reference fails."""

from importlib import metadata

project = "dr-lab"
release = version = metadata.version("dr-lab")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "dr-lab"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {"ArrayLike": "ArrayLike", "NDArray": "NDArray"}
autodoc_preserve_defaults = True
