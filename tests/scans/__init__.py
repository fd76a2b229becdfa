"""Scans: facts, claims, results, and the runs of a scanner."""
