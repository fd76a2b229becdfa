"""The records of the metadata store."""
