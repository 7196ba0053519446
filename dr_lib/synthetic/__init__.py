"""Photographs drawn by the lab itself: fundus images of every ICDR grade that may be shared, for demos and tests.

``make_data`` writes a data set in the course's form, ``draw_fundus`` draws one photograph. Neither is medical evidence:
a network that grades these well has learned to read our drawings.

``patients`` are who is photographed, ``healthy_retina`` and ``vessels`` draw the eye, ``lesions`` the disease,
``camera`` and ``canvas`` the photograph; ``fundus`` puts one together, ``data_folder`` writes a data set.
"""

from dr_lib.synthetic.data_folder import make_data
from dr_lib.synthetic.fundus import Fundus, draw_fundus
from dr_lib.synthetic.lesions import LESION_KINDS
from dr_lib.synthetic.patients import LAB_GRADE_SHARES

__all__ = ["LAB_GRADE_SHARES", "LESION_KINDS", "Fundus", "draw_fundus", "make_data"]
