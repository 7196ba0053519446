"""Figures as inline SVG that follows the page: its font, its colors in light and dark, its alternative texts."""

import hashlib
import io
import re
from collections.abc import Sequence
from html import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.text import Text

from dr_lib import plots
from dr_lib.report.run_group import RunGroup

INK = {
    plots.TEXT: "--fg",
    plots.MUTED: "--dim",
    plots.GRID: "--line",
    plots.PHASE: "--phase",
    plots.MAJORITY: "--maj",
    plots.HEAT: "--heat",
} | {color: f"--net{number}" for number, color in enumerate(plots.NETWORKS)}
"""The page's name for each color of the plots; where its style is missing (JupyterLab) the color itself is seen."""

_FONT = re.compile(r"'DejaVu Sans'[^;\"]*sans-serif")
_IDS = re.compile(r'\bid="([^"]*)"')
_REFERENCES = re.compile(r'(?:url\(#|href="#)([^)"]+)')


def ink(color: str) -> str:
    """Return a plot's color as CSS that follows the page's color scheme."""
    return f"var({INK[color]}, {color})"


def inline_svg(ax: Axes, label: str) -> str:
    """Return the figure of ``ax`` as an ``<svg>`` element with ``label`` as its alternative text."""
    stream = io.StringIO()
    # A name with dollars in it is no formula, and may be none that matplotlib can read.
    figure = ax.get_figure(root=True)
    assert figure is not None  # Axes that are drawn on have one
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    # Text stays text (searchable, in the page's font); the salt makes the same figure the same bytes.
    # Lines of thousands of points lose those within a quarter of a pixel of them.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dr-lab", "path.simplify_threshold": 0.25}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = _own_ids(svg, hashlib.sha256((svg + label).encode()).hexdigest()[:8])
    svg = _FONT.sub("var(--font, sans-serif)", svg)
    for color in INK:
        svg = svg.replace(color, ink(color))
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    body = svg[svg.index(">") + 1 :]
    # The line ends that matplotlib asks for in a style sheet, which would hold for the whole page.
    lines = 'stroke-linejoin="round" stroke-linecap="butt"'
    return f'<svg viewBox="{box[1]}" {_spoken(label)} {lines} xmlns:xlink="http://www.w3.org/1999/xlink">{body.strip()}'


def curve_styles(models: Sequence[str], groups: Sequence[RunGroup], names: Sequence[str]) -> dict[str, plots.Line]:
    """Return by the ``names`` of groups how their curves look: a color a network, dashed from scratch."""
    colors = plots.network_colors(models)
    markers = {True: "s", False: "o"}
    return {
        name: plots.Line(colors[one.model], markers[one.pretrained], dashed=not one.pretrained)
        for name, one in zip(names, groups, strict=True)
    }


def interval_svg(
    value: float | None,
    limits: Sequence[float] | None,
    reference: float | None,
    scale: tuple[float, float],
    label: str,
    *,
    css: str = "maj",
) -> str:
    """Return a small drawing of a figure and its interval on the common ``scale`` (low, high).

    ``reference``: where the dashed line stands, the majority share (``css`` maj) or zero (``css`` zero).
    """
    low, high = scale
    # Figures that are all the same have no scale; they stand at its beginning.
    x = lambda share: 4 + 152 * (share - low) / (high - low or 1)  # noqa: E731
    parts = ['<line class="rail" x1="4" x2="156" y1="10" y2="10"/>']
    if reference is not None:
        parts.append(f'<line class="{css}" x1="{x(reference):.1f}" x2="{x(reference):.1f}" y1="0" y2="20"/>')
    if limits:
        left, right = x(limits[0]), x(limits[1])
        # At least as wide as its tick, so that a very sure interval is still seen.
        wide = max(right - left, 3)
        parts.append(
            f'<rect class="whisk" x="{(left + right - wide) / 2:.1f}" width="{wide:.1f}" y="5" height="10" rx="2"/>'
        )
    if value is not None:
        parts.append(f'<line class="tick" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="3" y2="17"/>')
    return f'<svg class="ci" viewBox="0 0 160 20" {_spoken(label)}>{"".join(parts)}</svg>'


def block_svg(layers: Sequence[str], label: str, *, shortcut: str = "identity", marked: int | None = None) -> str:
    """Return a drawing of a residual block: ``layers`` top to bottom, and the shortcut around them.

    ``marked``: index of the layer that is set off, such as the one that carries the stride.
    """
    step, box_height, width = 62, 34, 320
    center, bottom = 128, 44 + step * len(layers)
    parts = [
        f'<text class="d-text" x="{center}" y="15" text-anchor="middle">x</text>',
        _arrow(center, 22, center, 44),
        f'<path class="d-line d-skip" d="M{center} 32 H{center + 118} V{bottom + 4} H{center + 17}"/>',
        f'<path class="d-head d-skip-head" d="M{center + 14} {bottom + 4} l9 -4.5 v9 z"/>',
        f'<text class="d-text d-accent" x="{center + 126}" y="{(36 + bottom) / 2:.0f}">{escape(shortcut)}</text>',
    ]
    for number, layer in enumerate(layers):
        y = 44 + step * number
        kind = "d-box d-marked" if number == marked else "d-box"
        parts.append(f'<rect class="{kind}" x="{center - 88}" y="{y}" width="176" height="{box_height}" rx="6"/>')
        parts.append(f'<text class="d-text" x="{center}" y="{y + 22}" text-anchor="middle">{escape(layer)}</text>')
        if number < len(layers) - 1:
            parts.append(_arrow(center, y + box_height, center, y + step))
            parts.append(f'<text class="d-note" x="{center + 9}" y="{y + box_height + 18}">ReLU</text>')
    parts += [
        _arrow(center, bottom - step + box_height, center, bottom - 10),
        f'<text class="d-note" x="{center - 9}" y="{bottom - 10}" text-anchor="end">F(x)</text>',
        f'<circle class="d-box" cx="{center}" cy="{bottom + 4}" r="13"/>',
        f'<path class="d-line" d="M{center - 6} {bottom + 4} h12 M{center} {bottom - 2} v12"/>',
        _arrow(center, bottom + 17, center, bottom + 42),
        f'<text class="d-note" x="{center + 9}" y="{bottom + 34}">ReLU</text>',
        f'<text class="d-text" x="{center}" y="{bottom + 58}" text-anchor="middle">F(x) + x</text>',
    ]
    return f'<svg class="diagram" viewBox="0 0 {width} {bottom + 66}" {_spoken(label)}>{"".join(parts)}</svg>'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="d-line" d="M{x1} {y1} L{x2} {y2 - 6}"/><path class="d-head" d="M{x2} {y2} l-4.5 -9 h9 z"/>'


def _spoken(label: str) -> str:
    return f'role="img" aria-label="{escape(label)}"'


def _own_ids(svg: str, prefix: str) -> str:
    """Drop ids that nothing refers to and prefix the others, so that figures of one page do not share any."""
    used = set(_REFERENCES.findall(svg))
    svg = _IDS.sub(lambda match: f'id="{prefix}-{match[1]}"' if match[1] in used else "", svg)
    return _REFERENCES.sub(lambda match: match[0].replace("#", f"#{prefix}-"), svg)
