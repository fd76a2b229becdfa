"""Background jobs and maintenance: work on the registry and its stores outside of requests."""
