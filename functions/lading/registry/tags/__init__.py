"""Tags, their history and immutability."""
