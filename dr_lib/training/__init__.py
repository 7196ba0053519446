"""Where a network learns: the recipe, the loop over epochs, its checkpoints, and the generated pretraining."""
