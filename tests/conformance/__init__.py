"""The official conformance suite of the distribution specification."""
