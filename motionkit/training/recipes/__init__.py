"""The recipes of the pocket weights: one module per training, and the queue that runs them in order."""
