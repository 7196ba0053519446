"""Stands before the package of this name, and is as if it were not installed.

Ray and papermill import jsonschema, which imports the package where it is there, to check addresses that hold letters
of all alphabets; neither has any. It builds a parser meanwhile: 1.8 s of processor time of the 2.3 s that such a
process takes to start, and a cluster starts with seven of them.
"""

raise ImportError("left out: it takes longer to import than everything else that starts a run")
