"""What lies on the disk: whole files or none, checksums, locks, and the names of an experiment's files."""
