"""A trained network out of the lab: evaluated, exported, and grading photographs."""
