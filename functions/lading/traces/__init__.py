"""Traces by OpenTelemetry: spans of requests, exported by OTLP. Imported only where an endpoint is set."""
