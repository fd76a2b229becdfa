"""Documents of scans: each is valid in its format, and none calls an image clean of which something is not known."""
