"""A laboratory for grading diabetic retinopathy (ICDR grades 0-4) from fundus photographs."""

GRADES = (0, 1, 2, 3, 4)
"""International Clinical Diabetic Retinopathy scale (Wilkinson et al., Ophthalmology 2003)."""

GRADE_NAMES = ("no DR", "mild", "moderate", "severe", "proliferative")
"""ICDR names of the five grades, in order."""

REFERABLE_GRADE = 2
"""Referable diabetic retinopathy: moderate non-proliferative or worse."""

PROBABILITIES = [f"p{grade}" for grade in GRADES]
"""What the columns of predictions are called that hold the probability of each grade."""
