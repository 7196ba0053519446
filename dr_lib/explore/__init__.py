"""Single photographs through a trained network: what ``explore.ipynb`` shows.

``loaded_run`` opens a run, ``neighbor_index`` keeps the features of photographs, ``figures`` draws,
``panel`` is the panel with its sliders, ``cells`` is what the notebook calls. ``label_errors`` lists the photographs
whose labels a run's network contradicts.
"""
