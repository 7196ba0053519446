"""Which lesions a retina of each grade has: the International Clinical Diabetic Retinopathy scale as a plan.

Wilkinson et al., Ophthalmology 2003;110:1677-82, table 1:

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

MANY = 20  # hemorrhages in a quadrant that the 4-2-1 rule counts as "more than 20"


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


def findings(planned: Plan) -> int:
    """Return the grade that table 1 gives to a plan; ``findings(plan(g, rng)) == g`` for every grade."""
    if planned.vessels_at_disc or planned.vessels_elsewhere or planned.preretinal:
        return 4
    if min(planned.hemorrhages) > MANY or len(planned.beaded) >= 2 or planned.irma:
        return 3
    if sum(planned.hemorrhages) or planned.exudate_groups or planned.cotton_wool_spots:
        return 2
    return 1 if planned.microaneurysms else 0


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
