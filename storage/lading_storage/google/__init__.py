"""The drivers of Google Cloud."""
