"""The checks of `lading doctor`."""
