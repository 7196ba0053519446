"""Notebooks executed by papermill, each in a kernel of its own, whatever the environment.

``runner`` is papermill's engine, ``process`` starts it as a process, finds and ends it, ``project_folder`` is the first
cell of each notebook.
"""
