"""Garbage collection: mark, verify, sweep."""
