"""A laboratory for grading diabetic retinopathy (ICDR grades 0-4) from fundus photographs.

``train`` a network, ``run_experiment`` on many, ``load_experiment`` for its tables, ``load_model`` to grade photographs
with one, ``audit`` a data set, ``read_labels`` and ``RetinopathyDataset`` for loops of your own. Names are loaded when
they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

GRADES = (0, 1, 2, 3, 4)
"""International Clinical Diabetic Retinopathy scale (Wilkinson et al., Ophthalmology 2003)."""

GRADE_NAMES = ("no DR", "mild", "moderate", "severe", "proliferative")
"""ICDR names of the five grades, in order."""

REFERABLE_GRADE = 2
"""Referable diabetic retinopathy: moderate non-proliferative or worse."""

PROBABILITIES = [f"p{grade}" for grade in GRADES]
"""The columns of predictions that hold the probability of each grade."""
