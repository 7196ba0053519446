"""Notebooks executed by papermill, each in a kernel of its own, whatever the environment."""
