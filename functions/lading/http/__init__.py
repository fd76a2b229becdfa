"""HTTP: requests, responses and streaming, independent of the endpoints."""
