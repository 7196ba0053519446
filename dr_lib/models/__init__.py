"""Networks: torchvision's classifiers for five grades, what their outputs mean, and their weights.

``builders`` builds a network, ``weights`` loads what it starts from, ``freezing`` says which part learns, ``heads`` and
``losses`` turn outputs into a loss, probabilities and a grade, ``trained`` loads what a run has kept,
``architecture`` knows blocks and multiplications.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
