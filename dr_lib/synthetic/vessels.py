"""The vessel tree: four arcades of an artery and a vein each, and three generations of branches.

Everything is a polyline with a width per point, in the field coordinates of a right eye (disc on the right).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dr_lib.synthetic.patients import Traits

STEPS = 28  # points along one branch


@dataclass(frozen=True)
class Vessel:
    """``points`` float (n, 2) and ``widths`` float (n,), in field coordinates; an artery or a vein."""

    points: np.ndarray
    widths: np.ndarray
    artery: bool

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit vectors (n, 2) across the vessel."""
        along = np.empty_like(self.points)
        along[1:-1] = self.points[2:] - self.points[:-2]
        along[0], along[-1] = self.points[1] - self.points[0], self.points[-1] - self.points[-2]
        along /= np.hypot(along[:, 0], along[:, 1])[:, None] + 1e-9
        return np.stack([-along[:, 1], along[:, 0]], axis=1)

    def outline(self, scale: float = 1.0) -> np.ndarray:
        """Return the polygon (2n, 2) around the vessel, its width multiplied by ``scale``."""
        offset = self.normals * (self.widths * scale / 2)[:, None]
        return np.concatenate([self.points + offset, (self.points - offset)[::-1]])


def grow_tree(traits: Traits, shared: np.random.Generator, own: np.random.Generator, beaded: tuple[int, ...] = ()):
    """Return the list of vessels of one eye, the widest first.

    ``shared`` shapes the arcades, which are alike in both eyes of a patient; ``own`` grows the branches. ``beaded``
    names the quadrants (see ``quadrant``) whose veins are drawn with the sausage-like swellings of severe retinopathy.
    """
    trunks = _arcades(traits, shared) + _disc_vessels(traits, shared)
    tree, generation = list(trunks), trunks
    for spacing, reach in ((0.125, 1.15), (0.12, 0.95), (0.10, 0.85)):
        generation = _branches(generation, traits, own, spacing, reach)
        tree += generation
    if beaded:
        tree = [vessel if vessel.artery else _bead(vessel, beaded, own) for vessel in tree]
    return tree


def quadrant(points: np.ndarray) -> np.ndarray:
    """Return the quadrant 0..3 of each point (..., 2): upper left, upper right, lower left, lower right.

    The quadrants of the 4-2-1 rule belong to seven-field photography; of a single photograph we take its own.
    """
    points = np.asarray(points)
    return (points[..., 0] > 0).astype(int) + 2 * (points[..., 1] > 0).astype(int)


def _arcades(traits: Traits, rng: np.random.Generator) -> list[Vessel]:
    """The four pairs of large vessels: two arching around the macula, two running to the nasal side."""
    disc, fovea = np.array(traits.disc), np.array(traits.fovea)
    towards = fovea - disc
    gap = np.linalg.norm(towards)
    towards = towards / gap
    upwards = np.array([-towards[1], towards[0]])
    upwards = upwards if upwards[1] < 0 else -upwards
    vessels = []
    for side in (1, -1):
        height = traits.arcade_height * rng.uniform(0.88, 1.12)
        apart = rng.choice([-1, 1]) * rng.uniform(0.03, 0.09)
        for artery in (True, False):
            # Rises steeply from the disc, passes above the macula and runs on to the temporal edge of the picture.
            s = np.linspace(0, 1, 3 * STEPS)
            ramp = np.clip(3 * s, 0, 1)
            wave = _wave(rng, 2, len(s)) * 0.03 * traits.tortuosity * ramp
            reach = height + (apart if artery else 0) * ramp + rng.normal(-0.06, 0.12) * s**2
            temporal = gap * rng.uniform(1.85, 2.6) * s ** rng.uniform(1.5, 1.8) + wave[0]
            temporal = temporal + rng.normal(0, 0.05) * ramp * (1 - s)
            vertical = reach * (1 - (1 - s) ** rng.uniform(2.6, 3.4)) + wave[1]
            root = disc + upwards * side * rng.uniform(0.05, 0.35) * traits.disc_radius
            root = root - towards * (rng.normal(0.12, 0.12) + (0.1 if artery else 0)) * traits.disc_radius
            points = root + temporal[:, None] * towards + side * vertical[:, None] * upwards
            width = traits.vessel_width * (0.72 if artery else 1.0) * rng.uniform(0.88, 1.05)
            vessels.append(_taper(points, width, artery, 0.28))
        for artery in (True, False):
            heading = np.arctan2(*(-towards + side * upwards * rng.uniform(0.7, 2.0))[::-1])
            bend = rng.normal(0, 0.5)
            root = disc + (0.2 * side * upwards - rng.normal(0.2, 0.1) * towards) * traits.disc_radius
            waviness = 0.36 * traits.tortuosity
            paths = _walk(rng, root[None], np.array([heading]), np.array([1.0]), np.array([bend]), waviness, 2 * STEPS)
            width = traits.vessel_width * (0.55 if artery else 0.72) * rng.uniform(0.85, 1.1)
            vessels.append(_taper(paths[0], width, artery, 0.3))
    return vessels


def _disc_vessels(traits: Traits, rng: np.random.Generator) -> list[Vessel]:
    """The small vessels that leave the disc on their own: a few towards the macula, a few to the nasal side."""
    disc, fovea = np.array(traits.disc), np.array(traits.fovea)
    temporal = np.arctan2(*(fovea - disc)[::-1])
    towards_macula = temporal + rng.permutation([-0.6, -0.3, 0.35, 0.65])[:3] + rng.normal(0, 0.08, 3)
    to_the_nose = temporal + np.pi + rng.permutation([-0.8, -0.2, 0.4])[:2] + rng.normal(0, 0.15, 2)
    angles = np.concatenate([towards_macula, to_the_nose])
    starts = disc + 0.3 * traits.disc_radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lengths = np.concatenate([rng.uniform(0.35, 0.6, 3), rng.uniform(0.4, 0.8, 2)])
    bends = np.concatenate([-np.sign(towards_macula - temporal) * rng.uniform(0, 0.6, 3), rng.normal(0, 0.5, 2)])
    paths = _walk(rng, starts, angles, lengths, bends, 0.35 * traits.tortuosity, STEPS)
    widths = traits.vessel_width * rng.uniform(0.28, 0.5, 5)
    arteries = (True, False, True, False, True)
    return [
        _taper(_stop_at_fovea(path, traits), width, artery, 0.4)
        for path, width, artery in zip(paths, widths, arteries, strict=True)
    ]


def _branches(
    parents: list[Vessel], traits: Traits, rng: np.random.Generator, spacing: float, reach: float
) -> list[Vessel]:
    """Return one generation of branches along ``parents``, a branch every ``spacing`` or so, on alternating sides."""
    starts, headings, turns, widths, arteries = [], [], [], [], []
    for parent in parents:
        steps = np.linalg.norm(np.diff(parent.points, axis=0), axis=1)
        traveled = np.concatenate([[0.0], np.cumsum(steps)])
        count = int(traveled[-1] / spacing)
        side = rng.choice([-1, 1])
        for k in range(count):
            at = (k + rng.uniform(0.35, 1.1)) * spacing
            i = int(np.searchsorted(traveled, at))
            if not 1 <= i < len(parent.points) - 1 or parent.widths[i] < 0.0042:
                continue
            point = parent.points[i]
            side = -side if rng.random() < 0.75 else side
            if np.hypot(*point) > 1.05 or np.hypot(*(point - traits.disc)) < 1.3 * traits.disc_radius:
                continue
            step = parent.points[i + 1] - parent.points[i - 1]
            starts.append(point)
            turns.append(side * rng.uniform(0.45, 1.1))
            headings.append(np.arctan2(step[1], step[0]) + turns[-1])
            widths.append(parent.widths[i] * rng.uniform(0.38, 0.78))
            arteries.append(parent.artery)
    if not starts:
        return []
    wide = np.array(widths)
    lengths = (0.10 + 30 * wide) * rng.uniform(0.6, 1.3, len(wide)) * reach
    # A branch first leaves its parent steeply and then bends back towards the parent's direction.
    bends = -np.array(turns) * rng.uniform(-0.3, 3.2, len(widths))
    paths = _walk(rng, np.array(starts), np.array(headings), lengths, bends, 0.62 * traits.tortuosity, STEPS)
    return [
        _taper(_stop_at_fovea(path, traits), width, artery, 0.35)
        for path, width, artery in zip(paths, wide, arteries, strict=True)
    ]


def _walk(rng, starts, headings, lengths, bends, waviness, steps) -> np.ndarray:
    """Return paths (N, steps, 2) from ``starts`` (N, 2) that set out along ``headings`` (N,), radian.

    They turn by ``bends`` (N,) radian per unit of length and waver by ``waviness`` radian.
    """
    s = np.linspace(0, 1, steps)
    direction = headings[:, None] + bends[:, None] * lengths[:, None] * s + waviness * _wave(rng, len(starts), steps)
    stride = (lengths / (steps - 1))[:, None, None] * np.stack([np.cos(direction), np.sin(direction)], axis=2)
    stride[:, 0] = 0
    return starts[:, None] + np.cumsum(stride, axis=1)


def _wave(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """Return (count, steps) smooth random curves of deviation about 1 that start near 0."""
    s = np.linspace(0, 1, steps)
    curve = np.zeros((count, steps))
    for frequency in (1.0, 2.3, 4.1, 7.0):
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        height = rng.normal(0, 1 / np.sqrt(frequency), (count, 1))
        curve += height * (np.sin(2 * np.pi * frequency * s + phase) - np.sin(phase))
    return curve * 0.7


def _taper(points: np.ndarray, width: float, artery: bool, end: float) -> Vessel:
    """A vessel that thins linearly to the share ``end`` of its width."""
    return Vessel(points, width * np.linspace(1.0, end, len(points)), artery)


def _stop_at_fovea(path: np.ndarray, traits: Traits) -> np.ndarray:
    """Cut a path where it would enter the fovea, which has no vessels."""
    inside = np.hypot(*(path - traits.fovea).T) < 0.085
    end = max(int(np.argmax(inside)), 3) if inside.any() else len(path)
    return path[:end]


def _bead(vessel: Vessel, quadrants: tuple[int, ...], rng: np.random.Generator) -> Vessel:
    """Return the vein with swellings where it runs through one of ``quadrants``, if it is wide enough to show them."""
    if vessel.widths[0] < 0.011:
        return vessel
    steps = np.linalg.norm(np.diff(vessel.points, axis=0, prepend=vessel.points[:1]), axis=1)
    traveled = np.cumsum(steps)
    dense = np.linspace(0, traveled[-1], max(len(traveled), int(traveled[-1] / 0.006)))
    points = np.stack([np.interp(dense, traveled, vessel.points[:, i]) for i in (0, 1)], axis=1)
    widths = np.interp(dense, traveled, vessel.widths)
    phase = 2 * np.pi * dense / rng.uniform(0.05, 0.075) + 2.5 * _wave(rng, 1, len(dense))[0]
    swelling = 1.12 + 0.42 * np.sin(phase) * rng.uniform(0.8, 1.1)
    return Vessel(points, np.where(np.isin(quadrant(points), quadrants), widths * swelling, widths), False)
