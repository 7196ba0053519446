"""Which lesions a retina of each grade has, and where each lies, how large it is, and its outline in field coordinates.

The plan is the International Clinical Diabetic Retinopathy scale, Wilkinson et al., Ophthalmology 2003;110:1677-82,
table 1:

0. no abnormalities;
1. microaneurysms only;
2. more than microaneurysms, but less than grade 3;
3. any of: more than 20 intraretinal hemorrhages in each of 4 quadrants, definite venous beading in 2 or more
   quadrants, prominent intraretinal microvascular abnormalities (IRMA) in 1 or more quadrants; no sign of grade 4;
4. neovascularisation, or vitreous or preretinal hemorrhage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dr_lib.synthetic.canvas import Shape, blob, boat, tangle
from dr_lib.synthetic.patients import Traits
from dr_lib.synthetic.vessels import Vessel

MANY = 20  # hemorrhages in a quadrant that the 4-2-1 rule counts as "more than 20"

LESION_KINDS = ("microaneurysms", "hemorrhages", "exudates", "cotton_wool_spots", "new_vessels")


@dataclass
class Plan:
    """How much of everything one eye gets. Per quadrant: 0 upper left, 1 upper right, 2 lower left, 3 lower right."""

    grade: int
    microaneurysms: int = 0
    hemorrhages: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    exudate_groups: int = 0
    cotton_wool_spots: int = 0
    beaded: tuple[int, ...] = ()
    irma: tuple[int, ...] = ()
    vessels_at_disc: bool = False
    vessels_elsewhere: int = 0
    preretinal: int = 0


def plan(grade: int, rng: np.random.Generator) -> Plan:
    """Return the lesions of one eye of ``grade``; within a grade, from barely to almost the next."""
    if grade == 0:
        return Plan(0)
    if grade == 1:
        return Plan(1, microaneurysms=int(rng.integers(2, 16)))
    return {2: _moderate, 3: _severe, 4: _proliferative}[grade](rng)


def _moderate(rng: np.random.Generator) -> Plan:
    severity = rng.beta(1.3, 1.5)
    mean = 1.5 + 6.0 * severity
    hemorrhages = np.minimum(rng.poisson(mean * rng.uniform(0.5, 1.5, 4)), MANY)
    hemorrhages[rng.integers(4)] += 2
    return Plan(
        2,
        microaneurysms=int(rng.integers(4, 30)),
        hemorrhages=[int(n) for n in np.minimum(hemorrhages, MANY)],
        exudate_groups=int(rng.integers(1, 7)) if rng.random() < 0.72 else 0,
        cotton_wool_spots=int(rng.integers(1, 7)) if rng.random() < 0.5 else 0,
    )


def _severe(rng: np.random.Generator) -> Plan:
    everywhere, beading, irma = rng.random(3) < (0.75, 0.5, 0.5)
    if not (everywhere or beading or irma):
        everywhere = True
    hemorrhages = rng.integers(MANY + 1, MANY + 12, 4) if everywhere else rng.integers(8, MANY, 4)
    quadrants = rng.permutation(4)
    return Plan(
        3,
        microaneurysms=int(rng.integers(15, 45)),
        hemorrhages=[int(n) for n in hemorrhages],
        exudate_groups=int(rng.integers(1, 5)) if rng.random() < 0.65 else 0,
        cotton_wool_spots=int(rng.integers(2, 9)) if rng.random() < 0.7 else 0,
        beaded=tuple(int(q) for q in quadrants[: rng.integers(2, 5)]) if beading else (),
        irma=tuple(int(q) for q in rng.permutation(4)[: rng.integers(1, 4)]) if irma else (),
    )


def _proliferative(rng: np.random.Generator) -> Plan:
    at_disc, elsewhere, bleeding = rng.random(3) < (0.5, 0.7, 0.5)
    if not (at_disc or elsewhere or bleeding):
        elsewhere = True
    background = _severe(rng) if rng.random() < 0.3 else _moderate(rng)
    background.grade = 4
    background.vessels_at_disc = bool(at_disc)
    background.vessels_elsewhere = int(rng.integers(1, 4)) if elsewhere else 0
    background.preretinal = int(rng.integers(1, 3)) if bleeding else 0
    return background


@dataclass
class Lesions:
    """The shapes of one eye by the way they are painted, and how many lesions of each kind there are."""

    counts: dict[str, int]
    blood: list[Shape] = field(default_factory=list)
    deep_blood: list[Shape] = field(default_factory=list)
    exudates: list[Shape] = field(default_factory=list)
    cotton_wool: list[Shape] = field(default_factory=list)
    fine_vessels: list[Shape] = field(default_factory=list)
    fibrosis: list[Shape] = field(default_factory=list)
    preretinal: list[Shape] = field(default_factory=list)


def place_lesions(
    planned: Plan, traits: Traits, tree: list[Vessel], y_limit: float, rng: np.random.Generator
) -> Lesions:
    """Return the lesions of ``planned``, within the visible part of the circle (``y_limit``: half the height)."""
    ground = _Ground(traits, y_limit, rng)
    lesions = Lesions(dict.fromkeys(LESION_KINDS, 0))
    for _ in range(planned.microaneurysms):
        outline = blob(ground.posterior(), rng.uniform(0.004, 0.009), rng, 0.1)
        lesions.blood.append((outline, rng.uniform(0.6, 0.95)))
    lesions.counts["microaneurysms"] = planned.microaneurysms
    for where, count in enumerate(planned.hemorrhages):
        for _ in range(count):
            _hemorrhage(ground.anywhere(where), traits, lesions, rng)
        lesions.counts["hemorrhages"] += count
    for _ in range(planned.exudate_groups):
        lesions.exudates += _exudate_group(ground, traits, rng)
    lesions.counts["exudates"] = len(lesions.exudates)
    for _ in range(planned.cotton_wool_spots):
        lesions.cotton_wool += _cotton_wool_spot(ground.near_arcades(), rng)
    lesions.counts["cotton_wool_spots"] = planned.cotton_wool_spots
    for where in planned.irma:
        for _ in range(rng.integers(2, 5)):
            root, reach = ground.anywhere(where), rng.uniform(0.04, 0.08)
            lesions.fine_vessels += tangle(root, reach, int(rng.integers(4, 8)), 0.0045, rng)
    _proliferation(planned, ground, traits, tree, lesions, rng)
    return lesions


@dataclass
class _Ground:
    """Where lesions may lie: inside the visible circle, off the disc."""

    traits: Traits
    y_limit: float
    rng: np.random.Generator

    def free(self, point: np.ndarray, margin: float = 0.07) -> bool:
        on_disc = np.hypot(*(point - self.traits.disc)) < 1.25 * self.traits.disc_radius
        return np.hypot(*point) < 1 - margin and abs(point[1]) < self.y_limit - margin / 2 and not on_disc

    def _first_free(self, propose) -> np.ndarray:
        for _ in range(200):
            point = propose()
            if self.free(point):
                return point
        return np.add(self.traits.fovea, (-0.2, 0.0))  # no camera we have comes here; still on the retina

    def anywhere(self, where: int) -> np.ndarray:
        """A point in quadrant ``where``, denser towards the middle."""
        flip = np.array([1 if where % 2 else -1, 1 if where >= 2 else -1])
        return self._first_free(lambda: flip * np.maximum(np.abs(self.rng.normal(0.0, 0.45, 2)), 0.01))

    def posterior(self) -> np.ndarray:
        """A point around the macula, where microaneurysms come first."""
        return self._first_free(lambda: np.array(self.traits.fovea) + self.rng.normal(0, 0.3, 2))

    def near_arcades(self) -> np.ndarray:
        """A point along the temporal arcades or around the disc, where the nerve fibers are thick."""

        def propose():
            angle, distance = self.rng.uniform(0, 2 * np.pi), self.rng.normal(0.42, 0.1)
            middle = 0.5 * (np.array(self.traits.fovea) + self.traits.disc)
            return middle + distance * np.array([1.1 * np.cos(angle), np.sin(angle)])

        return self._first_free(propose)


def _hemorrhage(center: np.ndarray, traits: Traits, lesions: Lesions, rng: np.random.Generator) -> None:
    """Add a dot, a blot or, in the nerve fiber layer, a flame that points along the fibers (away from the disc)."""
    kind = rng.random()
    if kind < 0.55:
        lesions.blood.append((blob(center, rng.uniform(0.008, 0.017), rng), rng.uniform(0.55, 1.0)))
    elif kind < 0.8:
        radius = 0.017 + 0.027 * rng.beta(1, 2)
        level = rng.uniform(0.5, 0.9)
        for _ in range(3):
            at = center + rng.normal(0, 0.35 * radius, 2)
            outline = blob(at, radius * rng.uniform(0.55, 0.85), rng, 0.4, rng.uniform(1, 1.6), rng.uniform(0, 3.1))
            lesions.deep_blood.append((outline, level * rng.uniform(0.8, 1.1)))
    else:
        away = np.arctan2(*(center - traits.disc)[::-1])
        length, level = rng.uniform(0.04, 0.085), rng.uniform(0.45, 0.95)
        for _ in range(int(rng.integers(4, 9))):
            at = center + rng.normal(0, 0.13 * length, 2)
            outline = blob(
                at, length * rng.uniform(0.13, 0.24), rng, 0.15, rng.uniform(5, 10), away + rng.normal(0, 0.13)
            )
            lesions.blood.append((outline, level * rng.uniform(0.7, 1.1)))


def _exudate_group(ground: _Ground, traits: Traits, rng: np.random.Generator) -> list[Shape]:
    """Hard exudates never come alone: a ring around a leak, a star around the fovea, or a scatter of specks."""
    form = rng.random()
    count = int(rng.integers(8, 45))
    if form < 0.35:
        center, ring = ground.posterior(), rng.uniform(0.05, 0.13)
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(-1, 1, count) * rng.uniform(1.2, 3.1)
        offsets = (ring + rng.normal(0, 0.16 * ring, count))[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    elif form < 0.5:
        center = np.array(traits.fovea)
        angle = rng.choice(np.linspace(0, 2 * np.pi, 11), count) + rng.normal(0, 0.06, count)
        offsets = rng.uniform(0.06, 0.17, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    else:
        center = ground.posterior()
        offsets = rng.normal(0, 1, (count, 2)) * rng.uniform(0.02, 0.07, 2)
    largest = rng.uniform(0.012, 0.025)
    shapes = []
    for offset in offsets:
        point = center + offset
        if ground.free(point):
            radius = 0.004 + (largest - 0.004) * rng.beta(1.0, 2.5)
            outline = blob(point, radius, rng, 0.45, rng.uniform(1, 1.8), rng.uniform(0, 3.1), 10)
            shapes.append((outline, rng.uniform(0.7, 1.0)))
    return shapes or [(blob(np.add(traits.fovea, (-0.1, 0.05)), 0.008, rng), 1.0)]


def _cotton_wool_spot(center: np.ndarray, rng: np.random.Generator) -> list[Shape]:
    """A white patch with feathery edges: several overlapping lobes; the painter blurs them."""
    radius, angle = rng.uniform(0.026, 0.055), rng.uniform(0, 3.1)
    shapes = []
    for _ in range(int(rng.integers(2, 5))):
        lobe = center + rng.normal(0, 0.45 * radius, 2)
        outline = blob(lobe, radius * rng.uniform(0.55, 0.9), rng, 0.4, rng.uniform(1, 1.6), angle)
        shapes.append((outline, rng.uniform(0.75, 1.0)))
    return shapes


def _proliferation(
    planned: Plan, ground: _Ground, traits: Traits, tree: list[Vessel], lesions: Lesions, rng: np.random.Generator
):
    """Add new vessels at the disc and elsewhere, the fibrous tissue that follows them, and blood before the retina."""
    disc = np.array(traits.disc)
    if planned.vessels_at_disc:
        for _ in range(int(rng.integers(2, 5))):
            root = disc + rng.normal(0, 0.4 * traits.disc_radius, 2)
            reach, count, facing = rng.uniform(0.16, 0.3), int(rng.integers(8, 16)), rng.uniform(0, 6.3)
            lesions.fine_vessels += tangle(root, reach, count, 0.0048, rng, 1.0, facing)
        lesions.counts["new_vessels"] += 1
    veins = [vessel for vessel in tree if not vessel.artery and vessel.widths[0] > 0.012]
    for _ in range(planned.vessels_elsewhere):
        root = ground.near_arcades()
        for _ in range(60):  # a frond hangs on a large vein
            vein = veins[rng.integers(len(veins))]
            point = vein.points[rng.integers(len(vein.points) // 4, len(vein.points))]
            if ground.free(point, 0.15):
                root = point
                break
        facing = rng.uniform(0, 6.3)
        reach = rng.uniform(0.13, 0.24)
        lesions.fine_vessels += tangle(root, reach, int(rng.integers(16, 30)), 0.0048, rng, 1.1, facing)
        if rng.random() < 0.4:
            along = root + 0.4 * reach * np.array([np.cos(facing), np.sin(facing)])
            for _ in range(3):
                outline = blob(along + rng.normal(0, 0.15 * reach, 2), 0.3 * reach, rng, 0.4, 2.0, facing)
                lesions.fibrosis.append((outline, 0.7))
        lesions.counts["new_vessels"] += 1
    for _ in range(planned.preretinal):
        lesions.preretinal.append((boat(ground.near_arcades(), rng), 1.0))
    lesions.counts["hemorrhages"] += planned.preretinal
