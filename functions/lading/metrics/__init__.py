"""Metrics for Prometheus: what is measured, and the listener that is scraped. Imported only with --metrics."""
