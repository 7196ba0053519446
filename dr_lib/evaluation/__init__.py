"""From a trained network to numbers: predictions first, then figures of merit with their uncertainty."""
