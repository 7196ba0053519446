"""Networks: torchvision's classifiers for five grades, what their outputs mean, and their weights.

``builders`` builds a network and counts its multiplications, ``weights`` loads what it starts from and says which part
learns, ``heads`` and ``losses`` turn outputs into a loss, probabilities and a grade, ``trained`` loads what a run has
kept.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
