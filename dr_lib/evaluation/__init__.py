"""From a trained network to numbers: predictions, metrics with intervals, comparisons, explanations.

* ``predict`` gives outputs and features, ``predictions`` makes tables of them; ``metrics`` has scikit-learn's
  signatures, ``matrix_metrics`` and ``ranking`` the same for thousands of resamples; ``summary`` computes all metrics.
* ``bootstrap``, ``intervals`` and ``seed_groups`` give intervals over patients and seeds; ``effects`` compares runs,
  all together; ``referral`` places thresholds, and judges them for patients.
* ``calibration`` looks at probabilities, ``grad_cam`` into the network.
* ``shortcuts`` measures what tells grades without the retina, ``contradiction`` which labels a network contradicts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
