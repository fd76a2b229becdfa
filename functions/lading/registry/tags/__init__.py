"""Tags, their history, and immutable tags."""
