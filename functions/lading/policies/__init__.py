"""Policies: which images may be pulled, and which tags may be moved to them. Knows neither stores nor HTTP."""
