"""The docs site: pages that are written by hand, and pages that are made of what the parts declare."""
