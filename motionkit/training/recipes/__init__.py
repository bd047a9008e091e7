"""The recipes of the pocket weights: one module a training, and the queue that runs them one after the other."""
