"""Counts what a call costs on a device that need not be there, with networks that have shapes but no weights."""
