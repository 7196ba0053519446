"""From a trained network to numbers: predictions, metrics with intervals, comparisons, explanations.

* ``predict`` gives outputs; ``metrics`` has scikit-learn's signatures, ``matrix_metrics`` and ``ranking`` the same for
  thousands of resamples; ``summary`` computes all metrics of a run.
* ``bootstrap``, ``bootstrap_metrics`` and ``seed_groups`` give intervals over patients and seeds; ``effects``
  compares runs, all together; ``mistakes`` orders wrong answers.
* ``calibration``, ``curves`` and ``ensemble`` look at probabilities, ``grad_cam`` and ``neighbors`` into the network.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
