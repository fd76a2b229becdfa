"""Scans: which images are due, who scans them, and what becomes of the results."""
