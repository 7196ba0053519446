"""Preprocessing: steps on a photograph and its square that are the same in every epoch."""

from typing import TYPE_CHECKING, Any

from dr_lib.config.transform_spec import PREPROCESSING, PREPROCESSING_DEFAULTS

if TYPE_CHECKING:
    import numpy as np

    from dr_lib.data.retina import Circle

GRAY = 128
"""Level of what equals its surroundings, and of what is left out."""
DARK = 16
"""Highest level of a row or column that is no part of the photograph but black beside it."""


def before_crop(pixels: "np.ndarray", steps: Any) -> "tuple[np.ndarray, bool]":
    """Return a photograph, uint8 (H, W, 3), after the steps that come before Resize, and whether its retina was found.

    CropToRetina: the bounding square of the lit circle, with ``margin`` radii around it, black where it leaves the
    frame; so a circle that the frame cuts at top and bottom keeps its sides. Where no circle is found the whole frame
    stays. True where nothing was looked for.
    """
    from dr_lib.data.retina import find_retina

    for name, arguments in PREPROCESSING.read(steps):
        if name == "CropToRetina":
            circle = find_retina(pixels)
            if circle is None:
                return pixels, False
            margin = (PREPROCESSING_DEFAULTS[name] | arguments)["margin"]
            return _bounding_square(pixels, circle, margin), True
    return pixels, True


def _bounding_square(pixels: "np.ndarray", circle: "Circle", margin: float) -> "np.ndarray":
    import numpy as np

    reach = circle.radius * (1 + margin)
    side = max(round(2 * reach), 1)
    top, left = round(circle.y - reach), round(circle.x - reach)
    inside = pixels[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inside.shape[:2] == (side, side):
        return np.ascontiguousarray(inside)
    square = np.zeros((side, side, 3), np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    square[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return square


def after_crop(square: "np.ndarray", steps: Any) -> "np.ndarray":
    """Return a square, uint8 (S, S, 3), after the steps that come after CenterCrop.

    SubtractLocalMean: ``amplitude`` * (image - its Gaussian blur) + 128, with a sigma of ``sigma_share`` radii, so that
    photographs of different light look alike. 128, too, is what lies beyond ``keep`` radii or as near to where the
    frame cut the circle: there the blur mixes in what is black. Where no circle is found all of the square is kept.
    Source: B. Graham, Kaggle Diabetic Retinopathy Detection competition report, 2015.
    """
    for name, arguments in PREPROCESSING.read(steps):
        if name == "SubtractLocalMean":
            square = _subtract_local_mean(square, **PREPROCESSING_DEFAULTS[name] | arguments)
    return square


def _subtract_local_mean(square: "np.ndarray", sigma_share: float, amplitude: float, keep: float) -> "np.ndarray":
    import numpy as np
    from scipy.ndimage import gaussian_filter

    from dr_lib.data.retina import Circle, find_retina

    half = len(square) / 2
    circle = find_retina(square)
    image, sigma = square.astype(np.float32), sigma_share * (circle or Circle(half, half, half)).radius
    # OpenCV's border and reach, which Graham's code has by default.
    mean = gaussian_filter(image, (sigma, sigma, 0), mode="mirror", truncate=3)
    flat = np.rint(np.clip(amplitude * (image - mean) + GRAY, 0, 255)).astype(np.uint8)
    if circle is not None:
        flat[_edge(square, circle, keep)] = GRAY
    return flat


def _edge(square: "np.ndarray", circle: "Circle", keep: float) -> "np.ndarray":
    """Return what is outside of the circle or too near to its edge, or to black bands beside the frame: bool (S, S)."""
    import numpy as np

    at = np.arange(len(square)) + 0.5
    edge = np.hypot(at - circle.x, at[:, None] - circle.y) > keep * circle.radius
    rim = (1 - keep) * circle.radius
    for lines, across in ((square.max(axis=(1, 2)), edge), (square.max(axis=(0, 2)), edge.T)):
        first, last = np.argmax(lines > DARK), len(lines) - np.argmax(lines[::-1] > DARK)
        if first > 0:
            across[at < first + rim] = True
        if last < len(lines):
            across[at > last - rim] = True
    return edge
