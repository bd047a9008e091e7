"""Networks without weights on a device that need not be there: what a call takes, counted and not measured."""
