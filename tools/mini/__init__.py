"""Training of the shipped teacher: batches, losses and figures."""
