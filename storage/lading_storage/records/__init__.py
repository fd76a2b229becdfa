"""Record types of the metadata store."""
