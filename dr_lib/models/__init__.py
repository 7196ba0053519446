"""Networks: torchvision's builders, heads and their losses, weights, and a trained network as a whole."""
