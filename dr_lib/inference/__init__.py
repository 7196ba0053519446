"""A trained network out of the lab: grading photographs, evaluating on other data, exporting.

``model`` is ``dr_lib.load_model``; ``inputs``, ``grading`` and ``output_formats`` are ``dr-lab predict``;
``inspect_crop`` is what a decoding process does; ``select_backend`` chooses between torch and ONNX Runtime
(``backends``); ``evaluate`` is ``dr-lab evaluate``, ``source_run`` the run that a checkpoint is from;
``onnx_export``, ``end_to_end``, ``exported`` and ``model_card`` are ``dr-lab export``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
