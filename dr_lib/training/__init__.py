"""One run: its steps and epochs, its checkpoints, and how it goes on after an interruption.

* ``run`` is a run from beginning to end, ``trained_run`` its results, ``trainer`` its epochs, ``learner`` one step,
  ``evaluator`` its tests, ``run_progress`` what is seen of it meanwhile.
* ``optimizers`` and ``schedules`` are parts of a step; ``loaders`` makes batches of what ``sampler`` chooses.
* ``checkpoint`` writes, ``resume`` decides whether to go on, ``provenance`` records what a run was made with.
* ``device`` and ``distributed`` choose device and processes; ``starting_weights`` and ``pretrain`` are the beginning.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
