"""From files on a disk to tensors: labels, splits, damage, crops, augmentation, the audit's numbers.

* ``labels`` reads the label files that ``layouts`` recognizes in a ``folder``: ``label_text`` and ``label_files`` turn
  them into columns, ``label_rows`` into checked rows, ``label_values`` and ``patients`` say what cells and names mean,
  ``medmnist`` reads RetinaMNIST's file. ``matching`` finds the file of each row, ``manifest`` accounts for all of both.
* ``photographs`` reads files, ``decoding`` turns bytes into pixels, ``inspection`` (``jpeg_structure``, ``jpeg_rows``,
  ``png``, ``signatures``) says what is wrong with a file, ``repair_policy`` what becomes of it.
* ``scan`` decodes each file once (``scan_image``) in processes of its own; ``crops``, ``resize``, ``retina`` and
  ``preprocessing`` make the crop that is the same in every epoch; ``pixel_cache`` keeps it in ``cache_folder``.
  ``isolated_decoding`` decodes what is only looked at, ``compiled`` is Numba.
* ``splits``, ``class_weights`` and ``sample_size`` look at grades and patients; ``prepare`` does all of this for a
  ``RunConfig``.
* ``augmentations``, ``warp``, ``transforms`` and ``normalization`` vary crops; ``crop_dataset`` and ``dataset`` are
  torch data sets; ``audit``, ``duplicates``, ``appearance``, ``quality`` and ``laterality`` are what
  ``dr-lab audit`` finds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
