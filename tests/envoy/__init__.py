"""Envoy before the server: its configuration, its supervision, and clients over HTTP/2 through it."""
