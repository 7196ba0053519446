"""A trained network out of the lab: grading photographs, evaluating on other data, exporting.

``model`` is ``dr_lib.load_model``, and grades photographs; ``inputs`` and ``output_formats`` are ``dr-lab predict``;
``backends`` chooses between torch and ONNX Runtime; ``evaluate`` is ``dr-lab evaluate``;
``onnx_export``, ``end_to_end``, ``exported`` and ``model_card`` are ``dr-lab export``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
