"""Traces: spans, sampling, export, and the lines of the log that belong to them."""
