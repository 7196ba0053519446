"""Looking at single photographs through a trained network: the run, its training cases, the pictures, the panel."""
