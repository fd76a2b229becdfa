"""`lading serve` and functions-framework as processes: connections, bodies, TLS, start and stop."""
