"""The registry in the shape in which Google Cloud runs it (emulators.cloud)."""
