"""A drawing of the page as a file of its own: in light colors, on a white ground, without the page's style sheet."""

import re
from functools import lru_cache

from dr_lib.report.markup import PIECES

_VARIABLE = re.compile(r"var\((--[\w-]+)(?:,\s*([^()]*))?\)")
_ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)
_SETTING = re.compile(r"(--[\w-]+):\s*([^;]+);")
_RULE = re.compile(r"(\.d-[\w-]+ \{[^}]*\})")
_BOX = re.compile(r'viewBox="([^"]*)"')
_MARGIN = 10
"""Letters of another font may be wider than those that the drawing was laid out with."""


def standalone_svg(svg: str) -> str:
    """Return an inline drawing (see :mod:`dr_lib.report.drawing`) as the text of an SVG file."""
    box = _BOX.search(svg)
    assert box is not None
    x, y, width, height = map(float, box[1].split())
    x, y, width, height = x - _MARGIN, y - _MARGIN, width + 2 * _MARGIN, height + 2 * _MARGIN
    rules = "".join(_RULE.findall(PIECES.read_text(encoding="utf-8"))) if 'class="d-' in svg else ""
    ground = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>'
    opening, _, body = svg.partition(">")
    opening = opening.replace(box[0], f'viewBox="{x:g} {y:g} {width:g} {height:g}"')
    if "xmlns=" not in opening:
        opening += ' xmlns="http://www.w3.org/2000/svg"'
    style = f"<style>{rules}</style>" if rules else ""
    return _resolved(f'{opening} width="{width:g}" height="{height:g}">{style}{ground}{body}\n')


def _resolved(svg: str) -> str:
    """Return ``svg`` with every variable of the page replaced by its light value, or by what stands for it."""
    values = _light_values()
    replace = lambda found: values.get(found[1]) or found[2] or "currentColor"  # noqa: E731
    while (resolved := _VARIABLE.sub(replace, svg)) != svg:
        svg = resolved
    return svg


@lru_cache(maxsize=1)
def _light_values() -> dict[str, str]:
    # The first rule of the page's style; in single quotes, since they end up in attributes.
    root = _ROOT.search((PIECES.parent / "style.css").read_text(encoding="utf-8"))
    assert root is not None
    return {name: value.replace('"', "'") for name, value in _SETTING.findall(root[1])}
