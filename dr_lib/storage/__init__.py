"""What lies on the disk: whole files or none, checksums, locks, and the names of an experiment's files.

``folders`` and ``run_folder`` alone know the names in an experiment's and in a run's folder. ``files`` writes beside
and renames, ``checksums`` seals what others rely on, ``lock`` lets one process at a run, ``jsonl_log`` only grows,
``bounded_read`` opens what others named.
"""
