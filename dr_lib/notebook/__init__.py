"""Notebooks executed by papermill, each in a kernel of its own, whatever the environment.

``runner`` is papermill's engine, ``process`` starts it as a process, finds and ends it, ``cells`` are the first
lines of each notebook.
"""
